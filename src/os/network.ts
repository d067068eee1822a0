// What the gateway asks of etcd itself, apart from its clients' traffic, by TLS
// and HTTP. Files are read at each call, since certificates are renewed while we
// run.
import type { HostPort } from "../core/address.ts";
import type { TlsFiles } from "../core/gateway-config.ts";
import { type Answer, send } from "./http.ts";
import { readTlsFiles, shakeHands } from "./tls.ts";

export { checkTlsFiles } from "./tls.ts";

/** @throws {Error} with a `code`, or a TlsFileError. */
export async function verify(
  address: HostPort,
  names: readonly string[],
  { tls, timeoutMs }: { readonly tls: TlsFiles; readonly timeoutMs: number },
): Promise<void> {
  await shakeHands({ address, names, tls: await readTlsFiles(tls), timeoutMs });
}

/** What to POST, or without a body to GET; without `tls` in plain HTTP. */
export interface HttpRequest {
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  readonly tls: TlsFiles | undefined;
  readonly timeoutMs: number;
}

/** @throws {Error} with a `code`, or a TlsFileError. */
export async function request(
  address: HostPort,
  names: readonly string[],
  { tls, ...inquiry }: HttpRequest,
): Promise<Answer> {
  const options = tls && (await readTlsFiles(tls));
  return send({ address, names, tls: options, ...inquiry });
}
