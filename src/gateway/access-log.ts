// The access log (--access-log): one line for each client, when its relay has closed.
import type { Logger } from "../observe/log.ts";
import type { RelayEnd } from "../relay/relay-end.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

const SERVED = "client served";
const NOT_SERVED = "client not served";

/** Whether a log message is one of the access log. */
export const isAccess = (message: string) => message === SERVED || message === NOT_SERVED;

// Ends of a client that no endpoint served; any other end is the client's own.
const NOT_BY_CLIENT: ReadonlySet<RelayEnd | undefined> = new Set(["refused", "shutdown"]);

/** Logs a closed relay. `now` is on the clock; `endpoint` served the client, if one did. */
export function logAccess(
  log: Logger,
  relay: Relay,
  { endpoint, now }: { readonly endpoint: Endpoint | undefined; readonly now: number },
): void {
  const { acceptedAt, joinedAt } = relay;
  const isServed = endpoint !== undefined;
  log.info(isServed ? SERVED : NOT_SERVED, {
    client: relay.clientAddress ?? null,
    endpoint: endpoint?.label ?? null,
    "connect-ms": joinedAt === undefined ? null : rounded(joinedAt - acceptedAt),
    "total-ms": rounded(now - acceptedAt),
    "bytes-to-server": relay.bytesToServer,
    "bytes-to-client": relay.bytesToClient,
    end: isServed || NOT_BY_CLIENT.has(relay.end) ? relay.end : "client_left",
  });
}

/** Rounds to microseconds. */
const rounded = (ms: number) => Math.round(ms * 1000) / 1000;
