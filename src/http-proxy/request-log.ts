// The access log (--access-log): one line for each request when it is over. Never a query,
// a header or a body: keys may be secret, and values of v2 stand in queries.
import type { Logger } from "../observe/log.ts";
import type { EndedExchange } from "./exchange-parts.ts";

const REQUEST = "request";

/** Whether a log message is written for each request. */
export const isRequestLine = (message: string) => message === REQUEST;

// Keys of v2 are paths.
const MAX_PATH_CHARS = 256;

/** Logs an exchange that is over. `now` is on the clock. */
export function logRequest(log: Logger, exchange: EndedExchange, now: number): void {
  const { client, request, startedAt, headAt, endpoint } = exchange;
  log.info(REQUEST, {
    client: client.address ?? null,
    method: request.method ?? null,
    path: (request.url ?? "").replace(/[?#].*$/s, "").slice(0, MAX_PATH_CHARS),
    status: headAt === undefined ? null : exchange.status,
    endpoint: endpoint?.label ?? null,
    "head-ms": headAt === undefined ? null : rounded(headAt - startedAt),
    "total-ms": rounded(now - startedAt),
    "bytes-to-server": exchange.requestBytes,
    "bytes-to-client": exchange.responseBytes,
    end: exchange.end,
  });
}

/** Rounds milliseconds to whole microseconds. */
const rounded = (ms: number) => Math.round(ms * 1000) / 1000;
