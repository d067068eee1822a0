// Counters of the gateway: plain numbers, incremented where an event happens and
// read only by a scrape.
import { RELAY_ENDS } from "../relay/relay-end.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

/** Why a client was not relayed; `client_left` and `shutdown` mean before an endpoint had answered. */
export const REFUSALS = [
  "connection_limit",
  "client_limit",
  "not_allowed",
  "no_endpoint",
  "no_descriptors",
  "client_left",
  "shutdown",
] as const;

type Refusal = (typeof REFUSALS)[number];

export class Statistics {
  /** On the clock. */
  readonly startedAt: number;
  accepted = 0;
  relayed = 0;
  /** Bytes of closed relays. */
  bytesToServers = 0;
  bytesToClients = 0;
  readonly refused = zeros<Refusal>(REFUSALS);
  readonly ended: Record<string, number> = zeros(RELAY_ENDS);

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  /** Counts a closed relay; `endpoint` served it, if one did. */
  count(relay: Relay, endpoint: Endpoint | undefined): void {
    if (endpoint === undefined) {
      // Where a client is refused, the reason is counted.
      if (relay.end === "shutdown") this.refused.shutdown++;
      else if (relay.end !== "refused") this.refused.client_left++;
      return;
    }
    this.ended[relay.end!]!++;
    this.bytesToServers += relay.bytesToServer;
    this.bytesToClients += relay.bytesToClient;
  }
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
