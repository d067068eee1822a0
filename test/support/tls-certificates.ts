// Certificates for a test, made by openssl in a temporary folder: an authority,
// and what it signs for the servers and clients of loopback.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output, requireTool } from "./gateway-command.ts";

// Instead of the machine's openssl.cnf, whatever that says.
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
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = NAMES
subjectKeyIdentifier = hash
[bare]
subjectAltName = NAMES
[ca]
default_ca = dated
[dated]
new_certs_dir = FOLDER
database = FOLDER/index.txt
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
`;

const LOOPBACK = ["IP:127.0.0.1", "IP:::1", "DNS:localhost"];

/** As `openssl ca` takes it: the first and the last moment. */
const PERIODS = {
  past: ["20200101000000Z", "20200102000000Z"],
  future: ["20900101000000Z", "20900102000000Z"],
} as const;

export interface IssueOptions {
  /** What stands in subjectAltName, such as `DNS:a.test`. */
  readonly names?: readonly string[];
  /** When it is valid; undefined: now. */
  readonly period?: keyof typeof PERIODS;
  /** Signed by its own key instead of the authority's, as `openssl req -x509` does it. */
  readonly isSelfSigned?: boolean;
}

/** Paths of PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export class Authority {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** A new authority, in a folder that `close` removes. */
  static async create(): Promise<Authority> {
    const authority = new Authority(await mkdtemp(join(tmpdir(), "etcd-gateway-tls-")));
    await writeFile(authority.#path("index.txt"), "");
    await authority.#configure(LOOPBACK);
    await authority.#certify("ca", "/CN=etcd-gateway test authority", "authority", []);
    return authority;
  }

  /** The authority's own certificate. */
  get cert(): string {
    return this.#path("ca.pem");
  }

  /** A key and a certificate, for loopback unless it says for whom, good for servers and clients. */
  async issue(name: string, options: IssueOptions = {}): Promise<KeyPair> {
    const { names = LOOPBACK, period, isSelfSigned = false } = options;
    await this.#configure(names);
    const authority = { cert: this.#path("ca.pem"), key: this.#path("ca.key") };
    const isSigned = !isSelfSigned && period === undefined;
    const signer = isSigned ? ["-CA", authority.cert, "-CAkey", authority.key] : [];
    const pair = await this.#certify(name, `/CN=${name}`, isSelfSigned ? "bare" : "leaf", signer);
    if (period === undefined) return pair;
    // Debian's openssl req knows no dates; openssl ca signs a self-signed certificate anew, with them.
    const [from, to] = PERIODS[period];
    await output([
      ...[requireTool("openssl"), "ca", "-batch", "-config", this.#path("openssl.cnf")],
      ...["-cert", authority.cert, "-keyfile", authority.key, "-extensions", "leaf", "-notext"],
      ...["-startdate", from, "-enddate", to, "-ss_cert", pair.cert, "-out", pair.cert],
    ]);
    return pair;
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #configure(names: readonly string[]): Promise<void> {
    const text = CONFIG.replaceAll("NAMES", names.join(", ")).replaceAll("FOLDER", this.#folder);
    await writeFile(this.#path("openssl.cnf"), text);
  }

  async #certify(
    name: string,
    subject: string,
    section: string,
    signer: readonly string[],
  ): Promise<KeyPair> {
    const pair = { cert: this.#path(`${name}.pem`), key: this.#path(`${name}.key`) };
    await output([
      ...[requireTool("openssl"), "req", "-x509", "-config", this.#path("openssl.cnf")],
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"],
      ...["-subj", subject, "-extensions", section, "-days", "2"],
      ...["-keyout", pair.key, "-out", pair.cert, ...signer],
    ]);
    return pair;
  }

  #path(file: string): string {
    return join(this.#folder, file);
  }
}
