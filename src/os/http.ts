// One HTTP request at a time, straight to an address: no proxy out of the
// environment (which fetch would ask), no redirect, no connection kept.
import http from "node:http";
import https from "node:https";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { systemClock } from "./clock.ts";
import { connection, mutable, type TlsOptions } from "./tls.ts";

// A member list of a thousand members has a quarter of this.
const MAX_ANSWER_BYTES = 1 << 20;

/** A request; a POST of JSON if it has a body, else a GET. */
export interface Request {
  /** An IP literal and a port. */
  readonly address: HostPort;
  /** As the server calls itself: Host header, SNI, and what its certificate must hold one of. */
  readonly names: readonly string[];
  /** Undefined: plain HTTP. */
  readonly tls: TlsOptions | undefined;
  readonly path: string;
  readonly body?: unknown;
  /** Value of the Authorization header; undefined or empty: none. */
  readonly token?: string | undefined;
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * @throws {Error} with a `code` of the system or of OpenSSL; ETIMEDOUT if it is
 *   late, EMSGSIZE if the answer is longer than 1 MiB.
 */
export function send(request: Request): Promise<Answer> {
  const { address, names, tls, path, body, token, timeoutMs } = request;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const options = {
    host: address.host,
    port: address.port,
    path,
    method: body === undefined ? "GET" : "POST",
    agent: false as const,
    headers: {
      host: formatHostPort({ host: names[0]!.replace(/\.$/, ""), port: address.port }),
      "content-type": "application/json",
      connection: "close",
      ...(token && { authorization: token }),
    },
  };
  const sent =
    tls === undefined
      ? http.request(options)
      : https.request({ ...options, ...connection(address, names), ...mutable(tls) });
  const fail = (code: string) => reject(Object.assign(new Error(code), { code }));
  const cancelDeadline = systemClock.after(timeoutMs, () => fail("ETIMEDOUT"));
  sent.on("error", reject);
  sent.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > MAX_ANSWER_BYTES) fail("EMSGSIZE");
    });
    response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
    response.on("error", reject);
  });
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  return promise.finally(() => {
    cancelDeadline();
    sent.destroy();
  });
}
