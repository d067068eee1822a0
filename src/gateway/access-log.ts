// --access-log: one line for each client, when it is over.
import type { Logger } from "../observe/log.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

/** `now` on the clock; `endpoint` served it, if one did. */
export function logAccess(
  log: Logger,
  relay: Relay,
  { endpoint, now }: { readonly endpoint: Endpoint | undefined; readonly now: number },
): void {
  const { acceptedAt, joinedAt } = relay;
  log.info("client served", {
    client: relay.clientAddress,
    endpoint: endpoint?.label ?? null,
    "connect-ms": joinedAt === undefined ? null : rounded(joinedAt - acceptedAt),
    "total-ms": rounded(now - acceptedAt),
    "bytes-to-server": relay.bytesToServer,
    "bytes-to-client": relay.bytesToClient,
    end: endpoint === undefined && relay.end !== "refused" ? "client_left" : relay.end,
  });
}

/** To microseconds. */
const rounded = (ms: number) => Math.round(ms * 1000) / 1000;
