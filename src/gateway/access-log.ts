// --access-log: one line for each client, when it is over.
import type { Logger } from "../observe/log.ts";
import type { RelayEnd } from "../relay/relay-end.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

const SERVED = "client served";
const NOT_SERVED = "client not served";

/** Whether a line of the log is one of these. */
export const isAccess = (message: string) => message === SERVED || message === NOT_SERVED;

// How a client may end that no endpoint served; otherwise it has left.
const NOT_BY_CLIENT: ReadonlySet<RelayEnd | undefined> = new Set(["refused", "shutdown"]);

/** `now` on the clock; `endpoint` served it, if one did. */
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

/** To microseconds. */
const rounded = (ms: number) => Math.round(ms * 1000) / 1000;
