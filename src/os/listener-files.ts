// Builds a listener's TLS settings from the contents of its files, and reads its
// revocation list. Errors name the flag and the file.
import tls from "node:tls";
import type { TlsSettings } from "../core/tls.ts";
import { readAnchors, readChain, readPrivateKey, toPem } from "./pem.ts";
import { readRevokedSerials } from "./revocation-list.ts";
import { fileError, pairFault, trustOptions } from "./tls.ts";
import { policyOptions, type TlsPolicy } from "./tls-policy.ts";
import { upgradeOptions } from "./tls-settings.ts";
import { WatchedFiles } from "./watched-files.ts";

// OpenSSL's SSL_OP_NO_TICKET. OpenSSL does not verify the certificate of a client that
// resumes a session, so a client could outlive its certificate.
const NO_TICKET = 0x4000;

export interface ListenerTlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** If set, clients must have a certificate that one of its certificates has signed. */
  readonly trustedCaFile: string | undefined;
  /** Lists certificates of clients that are refused. DER or PEM. */
  readonly clientCrlFile: string | undefined;
}

export interface ListenerTlsOptions extends ListenerTlsFiles, TlsPolicy {
  /** For ALPN, the preferred first. */
  readonly alpnProtocols: readonly string[];
  /** The flag that sets each file. */
  readonly flags: Readonly<Record<keyof ListenerTlsFiles, string>>;
}

/**
 * Watches the certificate, the key and the CA.
 *
 * @throws {RangeError} for a cipher suite that cannot be offered.
 */
export function watchPair(
  options: ListenerTlsOptions,
  verify: TlsSettings["verify"],
): WatchedFiles<TlsSettings> {
  const policy = policyOptions(options);
  const files: (keyof ListenerTlsFiles)[] = ["certFile", "keyFile"];
  if (options.trustedCaFile !== undefined) files.push("trustedCaFile");

  return new WatchedFiles({
    paths: files.map((file) => options[file]!),
    parse([certText, keyText, caText]) {
      const { cert, key } = readPair(options, certText!, keyText!);
      const ca = caText && parse(options, "trustedCaFile", caText, readAnchors);
      const context = tls.createSecureContext({
        ...policy,
        cert,
        key,
        ...(ca !== undefined && { ...trustOptions({ ca }), secureOptions: NO_TICKET }),
      });
      return {
        isServer: true,
        options: upgradeOptions({
          context,
          alpnProtocols: options.alpnProtocols,
          requestCert: ca !== undefined,
          rejectUnauthorized: ca !== undefined,
        }),
        verify,
      };
    },
    readError: (path, code) => {
      const file = files.find((each) => options[each] === path)!;
      return fileError(options.flags[file], path, code);
    },
  });
}

/** Watches the revocation list; its value are the revoked serial numbers. */
export function watchRevocations(path: string, flag: string): WatchedFiles<ReadonlySet<string>> {
  return new WatchedFiles({
    paths: [path],
    parse([content]) {
      try {
        return readRevokedSerials(content!);
      } catch (error) {
        throw fileError(flag, path, (error as Error).message);
      }
    },
    readError: (_, code) => fileError(flag, path, code),
  });
}

function readPair(options: ListenerTlsOptions, certText: Buffer, keyText: Buffer) {
  const { certFile, keyFile, flags } = options;
  const cert = parse(options, "certFile", certText, (text) => readChain(text).map(toPem).join(""));
  const key = parse(options, "keyFile", keyText, readPrivateKey);
  const fault = pairFault(cert, key);
  if (fault === undefined) return { cert, key };
  throw fileError(flags.certFile, certFile, `with ${flags.keyFile} "${keyFile}", ${fault}`);
}

function parse<T>(
  options: ListenerTlsOptions,
  file: keyof ListenerTlsFiles,
  content: Buffer,
  read: (text: string) => T,
): T {
  try {
    return read(content.toString("utf8"));
  } catch (error) {
    throw fileError(options.flags[file], options[file]!, (error as Error).message);
  }
}
