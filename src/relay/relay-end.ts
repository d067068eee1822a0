// The reasons why a relay ends, as logs and metrics report them.

/** The first four are the peers' doing, the others the gateway's. */
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
 * `client_closed`, `server_closed`: the side that sent the first FIN of an
 * orderly end. `standstill`: one side was gone and the other did not read.
 * `shutdown`: the gateway stopped first. `refused`: never joined to a server.
 */
export type RelayEnd = (typeof RELAY_ENDS)[number] | "refused";
