// The access log (--access-log): logs one line for each client, after its relay has closed.
import type { Logger } from "../observe/log.ts";
import type { RelayEnd } from "../relay/relay-end.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

const SERVED = "client served";
const NOT_SERVED = "client not served";

/** Whether a log message belongs to the access log. */
export const isAccess = (message: string) => message === SERVED || message === NOT_SERVED;

// Ends that the gateway caused for a client that no endpoint served. With any other
// end, such a client has left.
const ENDED_BY_GATEWAY: ReadonlySet<RelayEnd | undefined> = new Set(["refused", "shutdown"]);

/** Logs a closed relay. `endpoint` is set if it served the client; `now` is on the clock. */
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
    end: isServed || ENDED_BY_GATEWAY.has(relay.end) ? relay.end : "client_left",
  });
}

/** Rounds milliseconds to whole microseconds. */
const rounded = (ms: number) => Math.round(ms * 1000) / 1000;
