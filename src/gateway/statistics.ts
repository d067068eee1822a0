// The counters of the gateway. Its parts increment them where an event happens;
// gateway-status.ts reads them for a scrape.
import { RELAY_ENDS } from "../relay/relay-end.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

/**
 * Why a client was not relayed. `client_left`: it left before an endpoint was
 * connected. `shutdown`: the gateway stopped before that.
 */
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
  /** All accepted clients, including those that were refused. */
  accepted = 0;
  /** Clients that were connected to an endpoint. */
  relayed = 0;
  /** Bytes of closed relays. */
  bytesToServers = 0;
  bytesToClients = 0;
  readonly refused = zeros<Refusal>(REFUSALS);
  readonly ended: Record<string, number> = zeros(RELAY_ENDS);

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  /** Counts a closed relay. `endpoint` is set if it was joined to one. */
  count(relay: Relay, endpoint: Endpoint | undefined): void {
    if (endpoint === undefined) {
      // A refused client was counted under its reason when it was refused.
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
