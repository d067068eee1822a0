// TLS as the gateway itself speaks it: to verify endpoints and to ask etcd for
// its members. Never for its clients' traffic.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import tls from "node:tls";
import type { HostPort } from "../core/address.ts";
import type { TlsFiles } from "../core/gateway-config.ts";
import { systemClock } from "./clock.ts";
import { readTextFile } from "./files.ts";
import { readAnchors, readChain, readPrivateKey, toPem } from "./pem.ts";

/** A file that cannot be used; the message names it and says why. */
export class TlsFileError extends Error {
  override name = "TlsFileError";
}

/** The flag that sets each file, such as `--cert-file`, for error messages. */
export type TlsFlags = Readonly<Record<keyof TlsFiles, string>>;

/** What node:tls takes. */
export interface TlsOptions {
  readonly ca: string | readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Reads the files, anew each time: certificates are renewed while we run.
 *
 * @throws {TlsFileError} naming the flag and the file.
 */
export async function readTlsFiles(files: TlsFiles, flags: TlsFlags): Promise<TlsOptions> {
  const { trustedCaFile, certFile, keyFile } = files;
  return {
    ca: trustedCaFile === undefined ? systemStore(flags) : await readCa(trustedCaFile, flags),
    ...(certFile !== undefined && { cert: await readCert(certFile, flags) }),
    ...(keyFile !== undefined && { key: await readKey(keyFile, flags) }),
  };
}

/**
 * Checks what is named, and nothing else: that all of it can be read, and that
 * a certificate and its key belong together.
 *
 * @throws {TlsFileError} naming the flag and the file.
 */
export async function checkTlsFiles(files: TlsFiles, flags: TlsFlags): Promise<void> {
  const { trustedCaFile, certFile, keyFile } = files;
  if (trustedCaFile !== undefined) await readCa(trustedCaFile, flags);
  if (certFile === undefined || keyFile === undefined) return;
  const cert = await readCert(certFile, flags);
  const key = await readKey(keyFile, flags);
  try {
    tls.createSecureContext({ cert, key });
  } catch (error) {
    const isOther = !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    const fact = isOther ? "its first certificate is not that key's" : (error as Error).message;
    throw unusable(flags.certFile, certFile, `with ${flags.keyFile} "${keyFile}", ${fact}`);
  }
}

function systemStore({ trustedCaFile }: TlsFlags): string[] {
  const store = tls.getCACertificates("system");
  if (store.length > 0) return store;
  throw new TlsFileError(`the system has no CA certificates; name some by ${trustedCaFile}`);
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

/** What each file last held, and what that was read as: most reads find the same. */
const lastRead = new Map<keyof TlsFiles, { readonly text: string; readonly value: unknown }>();

async function readPem<T>(
  file: keyof TlsFiles,
  path: string,
  flags: TlsFlags,
  parse: (text: string) => T,
): Promise<T> {
  let text: string;
  try {
    text = await readTextFile(path);
  } catch (error) {
    throw unusable(flags[file], path, (error as { code?: string }).code ?? String(error));
  }
  const last = lastRead.get(file);
  if (last?.text === text) return last.value as T;
  try {
    const value = parse(text);
    lastRead.set(file, { text, value });
    return value;
  } catch (error) {
    throw unusable(flags[file], path, (error as Error).message);
  }
}

function unusable(flag: string, path: string, why: string): TlsFileError {
  const words: Record<string, string> = {
    ENOENT: "there is no such file",
    EACCES: "not permitted to read it",
    EISDIR: "it is a folder",
    ETIMEDOUT: "it could not be read within 10s; does a pipe or its mount hang?",
    EBUSY: "earlier reads of files have not ended; does a mount hang?",
  };
  return new TlsFileError(`Cannot use ${flag} "${path}": ${words[why] ?? why}`);
}

/** Whom to shake hands with. */
export interface Handshake {
  /** An IP literal and a port. */
  readonly address: HostPort;
  /** Names of which the certificate must hold one; the first DNS name among them is asked for (SNI). */
  readonly names: readonly string[];
  readonly tls: TlsOptions;
  readonly timeoutMs: number;
}

/**
 * Connects, shakes hands and closes again. Resolves if the server proved to be
 * one of `names` by a certificate that the CA stands for; sends nothing else.
 * A server that demands a client certificate refuses us only afterwards (TLS 1.3).
 *
 * @throws {Error} with a `code` of OpenSSL or of the system.
 */
export function shakeHands({ address, names, tls: options, timeoutMs }: Handshake): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = tls.connect({ ...connection(address, names), ...mutable(options) });
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

/** Where to connect and what to check there, for node:tls and node:https. */
export function connection({ host, port }: HostPort, names: readonly string[]) {
  // Certificates hold names without the dot of the root, and TLS allows none (RFC 6066).
  const bare = names.map((name) => name.replace(/\.$/, ""));
  const servername = bare.find((name) => isIP(name) === 0);
  return {
    host,
    port,
    ...(servername !== undefined && { servername }),
    rejectUnauthorized: true,
    checkServerIdentity: (_: string, certificate: tls.PeerCertificate) => {
      const errors = bare.map((name) => identityError(name, certificate));
      return errors.includes(undefined) ? undefined : errors[0];
    },
  };
}

/** Undefined if the certificate is for `name`. Only subjectAltName counts (RFC 9525, section 6). */
function identityError(name: string, certificate: tls.PeerCertificate): Error | undefined {
  const kind = isIP(name) === 0 ? "DNS:" : "IP Address:";
  const held = certificate.subjectaltname ?? "";
  if (held.includes(kind)) return tls.checkServerIdentity(name, certificate);
  const words = `Host: ${name}. is not in the cert's altnames: ${held}`;
  return Object.assign(new Error(words), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/**
 * The same, as node's types want it. Every certificate of `ca` is an anchor, as
 * for Go: a chain may end at an authority in between, or at the server's own
 * certificate. `ca` is never empty, where Bun would trust the system's store.
 */
export function mutable({ ca, ...rest }: TlsOptions) {
  return {
    ...rest,
    ca: typeof ca === "string" ? ca : [...ca],
    allowPartialTrustChain: true,
  };
}
