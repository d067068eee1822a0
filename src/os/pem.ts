// Certificates and keys out of PEM text (RFC 7468): all of it, or an error that
// names the block and its line. It reads no file and names no flag.
import { createPrivateKey, X509Certificate } from "node:crypto";

/** The message is the fact alone, such as `block 2 (line 31) has no END line`. */
export class PemError extends Error {
  override name = "PemError";
}

/** What stands between a BEGIN and an END line. */
interface Block {
  readonly label: string;
  readonly bytes: Buffer;
  readonly isEncrypted: boolean;
  /** In words, for an error: `block 2 (line 31)`. */
  readonly place: string;
}

/**
 * Reads the anchors of trust, each as PEM of its own. Every block must be a
 * certificate, as etcd demands of its own file: a private key or a revocation
 * list that is silently skipped is a mistake, or a false sense of safety.
 *
 * @throws {PemError}
 */
export function readAnchors(text: string): string[] {
  const blocks = blocksOf(text);
  if (blocks.length === 0) throw new PemError("no CERTIFICATE in PEM in it");
  return blocks.map((block) => toPem(certificateOf(block)));
}

/**
 * Reads a certificate and those of the authorities in between, in their order.
 * Skips blocks of other kinds, as Go does: a key may be in the same file.
 *
 * @throws {PemError}
 */
export function readChain(text: string): readonly X509Certificate[] {
  const chain = blocksOf(text).filter(({ label }) => label.endsWith("CERTIFICATE"));
  if (chain.length === 0) throw new PemError("no CERTIFICATE in PEM in it");
  return chain.map(certificateOf);
}

/**
 * Reads the first private key, as PEM.
 *
 * @throws {PemError} also if the key is encrypted: a service cannot ask for a passphrase.
 */
export function readPrivateKey(text: string): string {
  const block = blocksOf(text).find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) throw new PemError("no PRIVATE KEY in PEM in it");
  const { label, bytes, place, isEncrypted } = block;
  if (isEncrypted)
    throw new PemError(
      `${place} is an encrypted key, and the gateway has no passphrase; decrypt it with: openssl pkey -in FILE -out FILE`,
    );
  const pem = encode(label, bytes);
  try {
    createPrivateKey(pem);
  } catch (error) {
    throw new PemError(`${place} is not a private key: ${(error as Error).message}`);
  }
  return pem;
}

export function toPem(certificate: X509Certificate): string {
  return encode("CERTIFICATE", certificate.raw);
}

function encode(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function certificateOf({ label, bytes, place }: Block): X509Certificate {
  if (label === "TRUSTED CERTIFICATE")
    throw new PemError(
      `${place} is a TRUSTED CERTIFICATE, a form of openssl's own; convert it with: openssl x509 -in FILE -out FILE`,
    );
  // The second label is that of old versions of openssl.
  if (label !== "CERTIFICATE" && label !== "X509 CERTIFICATE")
    throw new PemError(`${place} is a ${label}, not a CERTIFICATE; remove it from the file`);
  const wanted = derLength(bytes);
  // Bun would take bytes that are PEM once more.
  if (wanted === undefined)
    throw new PemError(`${place} is not a certificate: its bytes are not an ASN.1 sequence`);
  if (wanted !== bytes.length)
    throw new PemError(
      `${place} is not a certificate: it has ${bytes.length} bytes, and says that it has ${wanted}`,
    );
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw new PemError(`${place} is not a certificate: ${(error as Error).message}`);
  }
}

/**
 * The length of a DER sequence with its own header; undefined: it is not one of
 * 128 bytes or more, as every certificate is.
 */
function derLength(bytes: Buffer): number | undefined {
  const count = (bytes[1] ?? 0) - 0x80; // of the bytes that hold the length
  if (bytes[0] !== 0x30 || count < 1 || count > 4 || bytes.length < 2 + count) return undefined;
  return 2 + count + bytes.readUIntBE(2, count);
}

const BEGIN = /^-----BEGIN ([^-]+)-----\s*$/;
const END = /^-----END ([^-]+)-----\s*$/;
// What was meant as one of the two, and is not; the second where the file is cut off.
const ALMOST = /-\s*(BEGIN|END)\b|\b(BEGIN|END) [A-Z0-9 ]+-|^-----B/;
const ALMOST_LAST = /^-{1,5}$/;

/**
 * Cuts the text into blocks. Text between them is ignored: openssl writes the
 * names of a certificate there.
 */
function blocksOf(text: string): Block[] {
  checkText(text);
  const blocks: Block[] = [];
  let open: OpenBlock | undefined;
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n?|\n/);
  for (const [i, line] of lines.entries()) {
    if (open !== undefined) {
      const end = END.exec(line);
      if (end === null) open.add(line, i + 1);
      else {
        blocks.push(open.close(end[1]!, i + 1));
        open = undefined;
      }
    } else {
      const label = BEGIN.exec(line)?.[1];
      if (label !== undefined) open = new OpenBlock(label, blocks.length + 1, i + 1);
      else if (ALMOST.test(line) || (i === lines.length - 1 && ALMOST_LAST.test(line)))
        throw new PemError(`line ${i + 1} is not a BEGIN line that starts a block`);
    }
  }
  if (open !== undefined) throw new PemError(`${open.place} has no END line: the file is cut off`);
  return blocks;
}

function checkText(text: string): void {
  if (text.trim() === "") throw new PemError("it is empty");
  // The first bytes of a DER sequence, read as UTF-8.
  if (/^0(\uFFFD|[^]\x02\x01\0)/.test(text))
    throw new PemError(
      "it is DER, not PEM; convert it with: openssl x509 -inform der -in FILE -out FILE, or openssl pkey for a key",
    );
  if (text.includes("\0")) throw new PemError("it is not text in UTF-8");
}

/** A block whose END line has not come yet. */
class OpenBlock {
  readonly place: string;
  readonly #label: string;
  #base64 = "";
  #isEncrypted: boolean;

  constructor(label: string, number: number, line: number) {
    this.#label = label;
    this.place = `block ${number} (line ${line})`;
    this.#isEncrypted = label === "ENCRYPTED PRIVATE KEY";
  }

  add(line: string, number: number): void {
    if (line.startsWith("-----END ") && line.includes("BEGIN"))
      throw new PemError(`line ${number} has an END and a BEGIN; put a line break between them`);
    if (line.startsWith("-----BEGIN "))
      throw new PemError(`${this.place} has no END line before line ${number}`);
    // Headers of RFC 1421, which old forms of encrypted keys have.
    if (this.#base64 === "" && /^[A-Za-z][\w-]*:/.test(line)) {
      this.#isEncrypted ||= /^Proc-Type:.*ENCRYPTED/.test(line);
      return;
    }
    const base64 = line.replace(/\s/g, "");
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
      throw new PemError(`${this.place} is damaged: line ${number} is not base64`);
    this.#base64 += base64;
  }

  close(label: string, line: number): Block {
    if (label !== this.#label)
      throw new PemError(
        `${this.place} begins as ${this.#label} and ends as ${label} in line ${line}`,
      );
    const bytes = Buffer.from(this.#base64, "base64");
    if (bytes.length === 0) throw new PemError(`${this.place} is empty`);
    // Buffer.from stops at what it cannot read.
    if (bytes.length !== base64Length(this.#base64))
      throw new PemError(`${this.place} is damaged: its base64 is not complete`);
    return { label, bytes, isEncrypted: this.#isEncrypted, place: this.place };
  }
}

/** How many bytes the whole of `base64` stands for. */
function base64Length(base64: string): number {
  return (base64.length * 3) / 4 - (/=*$/.exec(base64)?.[0].length ?? 0);
}
