// The TLS settings of dials to etcd that carry traffic: trusts the CA or the system's
// store, and verifies a server by the names of its endpoint. Opens no socket.
import { X509Certificate } from "node:crypto";
import tls, { type PeerCertificate } from "node:tls";
import { StartError } from "../core/start-error.ts";
import type { TlsFault, TlsPeer, TlsSettings } from "../core/tls.ts";
import { readTextFile } from "./files.ts";
import { readChain } from "./pem.ts";
import { checkIdentity, fileError, serverNameOf, type TlsOptions, trustOptions } from "./tls.ts";
import { upgradeOptions } from "./tls-settings.ts";

export interface ClientTlsOptions {
  /** From `readTlsFiles`. */
  readonly tls: TlsOptions;
  /** Whether every server is accepted, whatever its certificate. */
  readonly insecureSkipVerify: boolean;
  /** For ALPN, the preferred first. */
  readonly alpnProtocols: readonly string[];
}

/** The settings for dials with one set of TLS files. Parses them once, for all endpoints. */
export class ClientTls {
  readonly #context: tls.SecureContext;
  readonly #options: ClientTlsOptions;

  constructor(options: ClientTlsOptions) {
    this.#options = options;
    this.#context = tls.createSecureContext(trustOptions(options.tls));
  }

  /**
   * Returns the settings for a server whose certificate must hold one of `names`. The first
   * that is not an IP literal is sent in SNI. Without names, every server is refused.
   */
  settingsFor(names: readonly string[]): TlsSettings {
    const { insecureSkipVerify, alpnProtocols } = this.#options;
    return {
      isServer: false,
      options: upgradeOptions({
        context: this.#context,
        alpnProtocols,
        serverName: serverNameOf(names),
        // Bun would compare the certificate with the name in SNI only. `verify` decides.
        rejectUnauthorized: false,
      }),
      verify: insecureSkipVerify ? () => undefined : (peer, fault) => verify(names, peer, fault),
    };
  }
}

function verify(
  names: readonly string[],
  peer: TlsPeer,
  fault: TlsFault | undefined,
): TlsFault | undefined {
  // Bun reports that the name in SNI does not match only if the chain is trusted; another
  // of the names may match.
  if (fault !== undefined && fault.code !== "ERR_TLS_CERT_ALTNAME_INVALID") return fault;

  const certificate = peer.getPeerCertificate(true);
  if (!certificate?.raw) return { code: "NO_CERTIFICATE", message: "no certificate" };
  const error = checkIdentity(names, certificate as PeerCertificate);
  return error && { code: "ERR_TLS_CERT_ALTNAME_INVALID", message: error.message };
}

/**
 * Checks that the subject of a client certificate has no common name. With one, etcd
 * would take every client of the proxy for the user of that name.
 *
 * @throws {StartError} with etcd's words.
 * @throws {TlsFileError} if the file cannot be used.
 * @see etcd client/pkg/transport/listener.go, EmptyCN
 */
export async function checkEmptyCommonName(certFile: string, flag: string): Promise<void> {
  const commonName = commonNameOf(await readLeaf(certFile, flag));
  if (commonName !== "")
    throw new StartError(`cert has non empty Common Name (${commonName}): ${certFile}`);
}

async function readLeaf(certFile: string, flag: string): Promise<X509Certificate> {
  let text: string;
  try {
    text = await readTextFile(certFile);
  } catch (error) {
    throw fileError(flag, certFile, (error as { code?: string }).code ?? String(error));
  }
  try {
    return readChain(text)[0]!;
  } catch (error) {
    throw fileError(flag, certFile, (error as Error).message);
  }
}

function commonNameOf(certificate: X509Certificate): string {
  const { CN } = certificate.toLegacyObject().subject;
  // The last one counts, as in Go, if the subject has several.
  return [CN ?? ""].flat().at(-1) ?? "";
}
