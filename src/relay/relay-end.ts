// How relays end: by one of their peers, or by the gateway and why.

/** The first four are the peers' own doing, the rest is the gateway's. */
export const RELAY_ENDS = [
  "client_closed",
  "server_closed",
  "client_reset",
  "server_reset",
  "idle",
  "client_vanished",
  "standstill",
  "memory_limit",
  "endpoint_left",
  "endpoint_unhealthy",
  "shutdown",
] as const;

/**
 * `..._closed`: who sent the first FIN of an orderly end. `standstill`: one side
 * was gone and the other did not read. `shutdown`: cut when the gateway stopped. `refused`: it never
 * was joined to a server.
 */
export type RelayEnd = (typeof RELAY_ENDS)[number] | "refused";
