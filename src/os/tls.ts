// The gateway's own TLS connections: verification of endpoints and requests to etcd.
// Clients' traffic is relayed as it is and does not pass here.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import tls from "node:tls";
import type { HostPort } from "../core/address.ts";
import type { TlsFile, TlsFiles } from "../core/gateway-config.ts";
import { systemClock } from "./clock.ts";
import { readTextFile } from "./files.ts";
import { readAnchors, readChain, readPrivateKey, toPem } from "./pem.ts";

/** A TLS file cannot be used. The message names the flag, the file and the reason. */
export class TlsFileError extends Error {
  override name = "TlsFileError";
}

/** The flag that sets each file, such as `--cert-file`, for error messages. */
export type TlsFlags = Readonly<Record<TlsFile, string>>;

/** Certificates and key as PEM text, for node:tls. */
export interface TlsOptions {
  readonly ca: string | readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** Whether any certificate of the server is accepted. */
  readonly isUnverified?: boolean;
}

/**
 * Reads the files again at each call, since certificates are renewed while the gateway
 * runs. Without a CA file, `ca` is the system's store.
 *
 * @throws {TlsFileError} naming the flag and the file.
 */
export async function readTlsFiles(files: TlsFiles, flags: TlsFlags): Promise<TlsOptions> {
  const { trustedCaFile, certFile, keyFile, insecureSkipVerify = false } = files;
  return {
    ca: await readTrust(trustedCaFile, insecureSkipVerify, flags),
    ...(insecureSkipVerify && { isUnverified: true }),
    ...(certFile !== undefined && { cert: await readCert(certFile, flags) }),
    ...(keyFile !== undefined && { key: await readKey(keyFile, flags) }),
  };
}

/**
 * Checks that each file that is set can be used, and that the certificate and the key
 * belong together. Does not check the system's store.
 *
 * @throws {TlsFileError} naming the flag and the file.
 */
export async function checkTlsFiles(files: TlsFiles, flags: TlsFlags): Promise<void> {
  const { trustedCaFile, certFile, keyFile } = files;
  if (trustedCaFile !== undefined) await readCa(trustedCaFile, flags);
  if (certFile === undefined || keyFile === undefined) return;
  const cert = await readCert(certFile, flags);
  const key = await readKey(keyFile, flags);
  const fault = pairFault(cert, key);
  if (fault !== undefined)
    throw fileError(flags.certFile, certFile, `with ${flags.keyFile} "${keyFile}", ${fault}`);
}

/** Returns why a certificate and a key, both PEM text, cannot be used together. */
export function pairFault(cert: string, key: string): string | undefined {
  try {
    tls.createSecureContext({ cert, key });
    return undefined;
  } catch (error) {
    const isMismatch = !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    return isMismatch ? "its first certificate does not match that key" : (error as Error).message;
  }
}

async function readTrust(
  trustedCaFile: string | undefined,
  insecureSkipVerify: boolean,
  flags: TlsFlags,
): Promise<readonly string[]> {
  if (trustedCaFile !== undefined) return await readCa(trustedCaFile, flags);
  return insecureSkipVerify ? [] : systemStore(flags);
}

function systemStore({ trustedCaFile }: TlsFlags): string[] {
  const store = tls.getCACertificates("system");
  if (store.length > 0) return store;
  throw new TlsFileError(`the system has no CA certificates; set ${trustedCaFile}`);
}

const readCa = (path: string, flags: TlsFlags) =>
  readPem("trustedCaFile", path, flags, (text) => {
    const ca = readAnchors(text);
    tls.createSecureContext({ ca });
    return ca;
  });
const readCert = (path: string, flags: TlsFlags) =>
  readPem("certFile", path, flags, (text) => readChain(text).map(toPem).join(""));
const readKey = (path: string, flags: TlsFlags) => readPem("keyFile", path, flags, readPrivateKey);

/** The last text of each file with its parsed value, since most reads find the same text. */
const lastRead = new Map<TlsFile, { readonly text: string; readonly value: unknown }>();

async function readPem<T>(
  file: TlsFile,
  path: string,
  flags: TlsFlags,
  parse: (text: string) => T,
): Promise<T> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    throw fileError(flags[file], path, (error as { code?: string }).code ?? String(error));
  }

  const last = lastRead.get(file);
  if (last?.text === text) return last.value as T;

  try {
    const value = parse(text);
    lastRead.set(file, { text, value });
    return value;
  } catch (error) {
    throw fileError(flags[file], path, (error as Error).message);
  }
}

/** Returns the error for a file. `reason` is an errno's name or a complete phrase. */
export function fileError(flag: string, path: string, reason: string): TlsFileError {
  const phrases: Record<string, string> = {
    ENOENT: "there is no such file",
    EACCES: "not permitted to read it",
    EISDIR: "it is a folder",
    ETIMEDOUT: "it could not be read within 10s; does a pipe or its mount hang?",
    EBUSY: "earlier reads of files have not ended; does a mount hang?",
    EFBIG: "it is longer than 16 MiB",
  };
  return new TlsFileError(`Cannot use ${flag} "${path}": ${phrases[reason] ?? reason}`);
}

/** The server to verify. */
export interface HandshakeOptions {
  /** An IP literal and a port. */
  readonly address: HostPort;
  /** The certificate must hold one of these names. The first DNS name is sent in SNI. */
  readonly names: readonly string[];
  readonly tls: TlsOptions;
  readonly timeoutMs: number;
}

/**
 * Connects, performs a TLS handshake and closes the connection. Resolves if the server has
 * a certificate for one of `names` that the CA signed. Sends no data. With TLS 1.3, a
 * server that requires a client certificate refuses the client only later, so such a
 * refusal is not detected.
 *
 * @throws {Error} with a `code` of OpenSSL or of the system.
 */
export function handshake(handshakeOptions: HandshakeOptions): Promise<void> {
  const { address, names, tls: tlsOptions, timeoutMs } = handshakeOptions;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = tls.connect({ ...connectOptions(address, names), ...trustOptions(tlsOptions) });
  const cancelDeadline = systemClock.after(timeoutMs, () =>
    reject(Object.assign(new Error("handshake timed out"), { code: "ETIMEDOUT" })),
  );

  socket.on("secureConnect", resolve);
  socket.on("error", reject);
  socket.on("close", () => reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));

  return promise.finally(() => {
    cancelDeadline();
    socket.destroy();
  });
}

/** Returns the address, SNI and name check for node:tls and node:https. */
export function connectOptions({ host, port }: HostPort, names: readonly string[]) {
  const servername = serverNameOf(names);
  return {
    host,
    port,
    ...(servername !== undefined && { servername }),
    rejectUnauthorized: true,
    checkServerIdentity: (_: string, certificate: tls.PeerCertificate) =>
      checkIdentity(names, certificate),
  };
}

/** Returns the name for SNI: the first of `names` that is not an IP literal. */
export function serverNameOf(names: readonly string[]): string | undefined {
  return names.map(withoutDot).find((name) => isIP(name) === 0);
}

/**
 * Returns undefined if the certificate is for one of `names`, otherwise the error for the
 * first; for no names, an error as well.
 */
export function checkIdentity(
  names: readonly string[],
  certificate: tls.PeerCertificate,
): Error | undefined {
  if (names.length === 0) return new Error("the server has no name to verify");
  const errors = names.map((name) => identityError(withoutDot(name), certificate));
  return errors.includes(undefined) ? undefined : errors[0];
}

/** Names in certificates and in SNI (RFC 6066) have no trailing dot. */
function withoutDot(name: string): string {
  return name.replace(/\.$/, "");
}

/** Returns undefined if the certificate is for `name`. Only subjectAltName counts (RFC 9525, section 6). */
function identityError(name: string, certificate: tls.PeerCertificate): Error | undefined {
  const kind = isIP(name) === 0 ? "DNS:" : "IP Address:";
  const held = certificate.subjectaltname ?? "";
  if (held.includes(kind)) return tls.checkServerIdentity(name, certificate);
  const message = `Host: ${name}. is not in the cert's altnames: ${held}`;
  return Object.assign(new Error(message), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/**
 * Converts to the options of node:tls. Every certificate of `ca` is a trust anchor, as in
 * Go: a chain may end at an intermediate authority or at the server's own certificate.
 * `ca` must not be empty unless the server is not verified, since Bun would then trust the
 * system's store.
 */
export function trustOptions({ ca, isUnverified, ...rest }: TlsOptions) {
  return {
    ...rest,
    ca: typeof ca === "string" ? ca : [...ca],
    allowPartialTrustChain: true,
    ...(isUnverified && { rejectUnauthorized: false, checkServerIdentity: () => undefined }),
  };
}
