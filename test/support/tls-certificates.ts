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
subjectAltName = IP:127.0.0.1, IP:::1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`;

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
    await writeFile(authority.#path("openssl.cnf"), CONFIG);
    await authority.#certify("ca", "/CN=etcd-gateway test authority", "authority", []);
    return authority;
  }

  /** The authority's own certificate. */
  get cert(): string {
    return this.#path("ca.pem");
  }

  /** A key and a certificate for 127.0.0.1, ::1 and localhost, good for servers and clients. */
  issue(name: string): Promise<KeyPair> {
    const signer = ["-CA", this.#path("ca.pem"), "-CAkey", this.#path("ca.key")];
    return this.#certify(name, `/CN=${name}`, "leaf", signer);
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
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
