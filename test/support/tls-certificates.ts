// Certificates for a test, created by openssl in a temporary folder: an authority, and
// the certificates that it signs for servers and clients on loopback.
import { appendFile, copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output, requireTool } from "./gateway-command.ts";

// Replaces the machine's openssl.cnf.
const CONFIG = `
[req]
distinguished_name = name
prompt = no
[name]
commonName = etcd-gateway test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[limited]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[pretender]
basicConstraints = critical, CA:FALSE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[constrained]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
nameConstraints = critical, permitted;DNS:b.test
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = NAMES
subjectKeyIdentifier = hash
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = NAMES
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = NAMES
[bare]
subjectAltName = NAMES
[ca]
default_ca = dated
[dated]
new_certs_dir = FOLDER
database = INDEX
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
`;

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

const LOOPBACK = ["IP:127.0.0.1", "IP:::1", "DNS:localhost"];

/** First and last moment of validity, in the format of `openssl ca`. */
const PERIODS = {
  past: ["20200101000000Z", "20200102000000Z"],
  future: ["20900101000000Z", "20900102000000Z"],
} as const;

export interface IssueOptions {
  /** The entries of subjectAltName, such as `DNS:a.test`. Default: loopback. */
  readonly names?: readonly string[];
  /** The period of validity. Default: now. */
  readonly period?: keyof typeof PERIODS;
  /** Signs with the certificate's own key, not the authority's, as `openssl req -x509` does. */
  readonly isSelfSigned?: boolean;
  /** Signs by an intermediate, whose certificate is appended to the file ("shown") or not. */
  readonly intermediate?: "shown" | "missing";
}

/** Paths of PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** The contents of a certificate. */
export interface Content {
  /** The section of the configuration that has the extensions. */
  readonly section:
    "authority" | "limited" | "pretender" | "constrained" | "leaf" | "client" | "server" | "bare";
  /** Undefined: those of loopback. */
  readonly names?: readonly string[];
  readonly period?: keyof typeof PERIODS | undefined;
  /** Undefined: the certificate signs itself. */
  readonly signer?: KeyPair | undefined;
  /** Undefined: the name of the files. */
  readonly subject?: string;
}

export class Authority {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Creates an authority, in a folder that `close` removes. */
  static async create(): Promise<Authority> {
    const authority = new Authority(await mkdtemp(join(tmpdir(), "etcd-gateway-tls-")));
    await authority.#certify("ca", { section: "authority", names: [] });
    return authority;
  }

  /** The authority's own certificate. */
  get cert(): string {
    return this.#path("ca.pem");
  }

  /** Creates a key and a certificate that is valid for servers and clients. */
  async issue(name: string, options: IssueOptions = {}): Promise<KeyPair> {
    const { names = LOOPBACK, period, isSelfSigned = false, intermediate } = options;
    let signer = isSelfSigned ? undefined : this.#pair("ca");
    if (intermediate !== undefined)
      signer = await this.#certify(`${name}-authority`, {
        section: "authority",
        names: [],
        signer,
      });
    const section = isSelfSigned ? "bare" : "leaf";
    const pair = await this.#certify(name, { section, names, period, signer });
    if (intermediate === "shown") await appendFile(pair.cert, await readFile(signer!.cert));
    return pair;
  }

  /** The authority's certificate and key, to sign with. */
  get pair(): KeyPair {
    return this.#pair("ca");
  }

  /** A certificate of any kind, in files of this name. */
  certify(name: string, content: Content): Promise<KeyPair> {
    return this.#certify(name, content);
  }

  /** A certificate with the same subject and key as `pair`, for another time. */
  async renew(name: string, pair: KeyPair, content: Content): Promise<KeyPair> {
    const renewed = this.#pair(name);
    await copyFile(pair.key, renewed.key);
    return this.#certify(name, content, ["-key", renewed.key]);
  }

  /** Creates the list of the certificates that the authority revoked: these. In PEM, or in DER. */
  async revocationList(
    name: string,
    certificates: readonly KeyPair[],
    form: "pem" | "der" = "pem",
  ): Promise<string> {
    const list = this.#path(name);
    const config = this.#path(`${name}.cnf`);
    const index = this.#path(`${name}.index`);
    await writeFile(config, CONFIG.replace("FOLDER", this.#folder).replace("INDEX", index));
    await writeFile(index, "");
    const openssl = requireTool("openssl");
    const { cert, key } = this.#pair("ca");
    const command = [openssl, "ca", "-config", config, "-cert", cert, "-keyfile", key];
    for (const pair of certificates) await output([...command, "-revoke", pair.cert]);
    await output([...command, "-gencrl", "-crldays", "2", "-out", list]);
    if (form === "der")
      await output([openssl, "crl", "-in", list, "-outform", "der", "-out", list]);
    return list;
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #certify(
    name: string,
    { section, names = LOOPBACK, period, signer, subject = name }: Content,
    keyFlags: readonly string[] = NEW_KEY,
  ): Promise<KeyPair> {
    const pair = this.#pair(name);
    const openssl = requireTool("openssl");
    // Separate files for each certificate, because two may be created at once.
    const config = this.#path(`${name}.cnf`);
    const index = this.#path(`${name}.index`);
    const text = CONFIG.replaceAll("NAMES", names.join(", "));
    await writeFile(config, text.replace("FOLDER", this.#folder).replace("INDEX", index));
    await writeFile(index, "");
    const isSigned = signer !== undefined && period === undefined;
    await output([
      ...[openssl, "req", "-x509", "-config", config],
      ...[...keyFlags, "-noenc", ...(keyFlags === NEW_KEY ? ["-keyout", pair.key] : [])],
      ...["-subj", `/CN=${subject}`, "-extensions", section, "-days", "2", "-out", pair.cert],
      ...(isSigned ? ["-CA", signer.cert, "-CAkey", signer.key] : []),
    ]);
    if (period === undefined) return pair;

    // Debian's openssl req cannot set dates, but openssl ca signs the certificate again with dates.
    const { cert, key } = signer ?? pair;
    const [from, to] = PERIODS[period];
    await output([
      ...[openssl, "ca", "-batch", "-config", config, "-cert", cert, "-keyfile", key],
      ...["-extensions", section, "-notext", "-startdate", from, "-enddate", to],
      ...["-ss_cert", pair.cert, "-out", pair.cert],
    ]);
    return pair;
  }

  #pair(name: string): KeyPair {
    return { cert: this.#path(`${name}.pem`), key: this.#path(`${name}.key`) };
  }

  #path(file: string): string {
    return join(this.#folder, file);
  }
}
