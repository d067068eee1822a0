// Sends a single HTTP request to an IP address. Uses no proxy from the environment
// (unlike fetch), follows no redirect and keeps no connection open.
import http from "node:http";
import https from "node:https";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { systemClock } from "./clock.ts";
import { connectOptions, type TlsOptions, trustOptions } from "./tls.ts";

// Four times the size of a list of a thousand members.
const MAX_BODY_CHARS = 1 << 20;

/** A POST of JSON if it has a body, else a GET. */
export interface RequestOptions {
  /** An IP literal and a port. */
  readonly address: HostPort;
  /**
   * The server's names; its certificate must hold one of them. The first is sent in the
   * Host header, the first DNS name in SNI.
   */
  readonly names: readonly string[];
  /** Undefined for plain HTTP. */
  readonly tls: TlsOptions | undefined;
  readonly path: string;
  readonly body?: unknown;
  /** The value of the Authorization header, which is left out if undefined or empty. */
  readonly token?: string | undefined;
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * Sends a request and resolves with the whole response, whatever its status.
 *
 * @throws {Error} with a `code` of the system or of OpenSSL; ETIMEDOUT after `timeoutMs`;
 *   EMSGSIZE if the body has more than 2^20 characters.
 */
export function send(request: RequestOptions): Promise<Answer> {
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
      : https.request({ ...options, ...connectOptions(address, names), ...trustOptions(tls) });
  const fail = (code: string) => reject(Object.assign(new Error(code), { code }));
  const cancelDeadline = systemClock.after(timeoutMs, () => fail("ETIMEDOUT"));
  sent.on("error", reject);
  sent.on("response", (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > MAX_BODY_CHARS) fail("EMSGSIZE");
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
