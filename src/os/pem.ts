// Parses certificates and keys from PEM text (RFC 7468). A text is read completely, or
// an error names the block and its line. Reads no file and names no flag.
import { createPrivateKey, X509Certificate } from "node:crypto";

/** The text cannot be used. The message is only the fact, such as `block 2 (line 31) has no END line`. */
export class PemError extends Error {
  override name = "PemError";
}

/** The text between a BEGIN and an END line, decoded. */
interface Block {
  readonly label: string;
  readonly bytes: Buffer;
  readonly isEncrypted: boolean;
  /** The position for an error message: `block 2 (line 31)`. */
  readonly place: string;
}

/**
 * Reads the trust anchors and returns each as separate PEM text. Every block must be a
 * certificate, as etcd requires for its own file: skipping a private key or a revocation
 * list without an error would hide a mistake or give a false sense of security.
 *
 * @throws {PemError}
 */
export function readAnchors(text: string): string[] {
  const blocks = blocksOf(text);
  if (blocks.length === 0) throw new PemError("it contains no CERTIFICATE in PEM format");
  return blocks.map((block) => toPem(certificateOf(block)));
}

/**
 * Reads a certificate and its intermediate certificates, in the order of the text. Skips
 * blocks of other kinds, as Go does, since the key may be in the same file.
 *
 * @throws {PemError}
 */
export function readChain(text: string): readonly X509Certificate[] {
  const chain = blocksOf(text).filter(({ label }) => label.endsWith("CERTIFICATE"));
  if (chain.length === 0) throw new PemError("it contains no CERTIFICATE in PEM format");
  return chain.map(certificateOf);
}

/**
 * Reads the first private key and returns it as PEM text.
 *
 * @throws {PemError} also if the key is encrypted, since a service cannot prompt for a passphrase.
 */
export function readPrivateKey(text: string): string {
  const block = blocksOf(text).find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) throw new PemError("it contains no PRIVATE KEY in PEM format");
  const { label, bytes, place, isEncrypted } = block;
  if (isEncrypted)
    throw new PemError(
      `${place} is an encrypted key, and the gateway has no passphrase; decrypt it with: openssl pkey -in FILE -out FILE`,
    );
  const pem = encodePem(label, bytes);
  try {
    createPrivateKey(pem);
  } catch (error) {
    throw new PemError(`${place} is not a private key: ${(error as Error).message}`);
  }
  return pem;
}

/**
 * Reads certificate revocation lists and returns each as DER, whose content is not
 * checked. Every block must be a list.
 *
 * @throws {PemError}
 */
export function readRevocationLists(text: string): Buffer[] {
  const blocks = blocksOf(text);
  if (blocks.length === 0) throw new PemError("it contains no X509 CRL in PEM format");
  return blocks.map(({ label, bytes, place }) => {
    if (label === "X509 CRL") return bytes;
    throw new PemError(`${place} is a ${label}, not an X509 CRL; remove it from the file`);
  });
}

/** Encodes a certificate as PEM text. */
export function toPem(certificate: X509Certificate): string {
  return encodePem("CERTIFICATE", certificate.raw);
}

/** Encodes DER as PEM text with the given label. */
export function encodePem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function certificateOf({ label, bytes, place }: Block): X509Certificate {
  if (label === "TRUSTED CERTIFICATE")
    throw new PemError(
      `${place} is a TRUSTED CERTIFICATE, a format that only openssl uses; convert it with: openssl x509 -in FILE -out FILE`,
    );
  // Old versions of openssl write the second label.
  if (label !== "CERTIFICATE" && label !== "X509 CERTIFICATE")
    throw new PemError(`${place} is a ${label}, not a CERTIFICATE; remove it from the file`);

  const wanted = derLength(bytes);
  // Bun would accept bytes that are PEM text again.
  if (wanted === undefined)
    throw new PemError(`${place} is not a certificate: its bytes are not an ASN.1 sequence`);
  if (wanted !== bytes.length)
    throw new PemError(
      `${place} is not a certificate: it has ${bytes.length} bytes, but its ASN.1 header declares ${wanted}`,
    );
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw new PemError(`${place} is not a certificate: ${(error as Error).message}`);
  }
}

/**
 * Returns the length that a DER sequence declares, including its header. Undefined if the
 * bytes are not a DER sequence of at least 128 bytes, which every certificate is.
 */
function derLength(bytes: Buffer): number | undefined {
  const count = (bytes[1] ?? 0) - 0x80; // number of bytes that hold the length
  if (bytes[0] !== 0x30 || count < 1 || count > 4 || bytes.length < 2 + count) return undefined;
  return 2 + count + bytes.readUIntBE(2, count);
}

const BEGIN = /^-----BEGIN ([^-]+)-----\s*$/;
const END = /^-----END ([^-]+)-----\s*$/;
// Malformed BEGIN and END lines; the second pattern matches a last line that is cut off.
const ALMOST = /-\s*(BEGIN|END)\b|\b(BEGIN|END) [A-Z0-9 ]+-|^-----B/;
// Someone's own words, or a block that is meant to be skipped.
const COMMENT = /^\s*#/;
const ALMOST_LAST = /^-{1,5}$/;

/**
 * Splits the text into blocks. Text between blocks is ignored, since openssl writes a
 * certificate's names there.
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
      else if (COMMENT.test(line)) continue;
      else if (ALMOST.test(line) || (i === lines.length - 1 && ALMOST_LAST.test(line)))
        throw new PemError(`line ${i + 1} is not a BEGIN line that starts a block`);
    }
  }
  if (open !== undefined) throw new PemError(`${open.place} has no END line: the file is cut off`);
  return blocks;
}

function checkText(text: string): void {
  if (text.trim() === "") throw new PemError("it is empty");
  // The first bytes of a DER sequence, decoded as UTF-8.
  if (/^0(\uFFFD|[^]\x02\x01\0)/.test(text))
    throw new PemError(
      "it is DER, not PEM; convert it with: openssl x509 -inform der -in FILE -out FILE, or openssl pkey for a key",
    );
  if (text.includes("\0")) throw new PemError("it is not text in UTF-8");
}

/** A block whose END line has not been read yet. */
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
    // RFC 1421 headers, which encrypted keys in the old openssl format have.
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
    // Buffer.from stops at the first character that it cannot decode.
    if (bytes.length !== base64Length(this.#base64))
      throw new PemError(`${this.place} is damaged: its base64 is not complete`);
    return { label, bytes, isEncrypted: this.#isEncrypted, place: this.place };
  }
}

/** Returns the number of bytes that all of `base64` encodes. */
function base64Length(base64: string): number {
  return (base64.length * 3) / 4 - (/=*$/.exec(base64)?.[0].length ?? 0);
}
