// The flags of any proxy, for the commands that ask a running one and do not care which
// it is.
import type { Flag } from "../cli/flag.ts";
import { gatewayFlags } from "./gateway-flags.ts";
import { grpcProxyFlags } from "./grpc-proxy-flags.ts";
import { httpProxyFlags } from "./http-proxy-flags.ts";
import { parseMetricsUrl } from "./grpc-proxy-values.ts";

const rows = {
  ...httpProxyFlags,
  ...grpcProxyFlags,
  ...gatewayFlags,
  // Of these the gRPC proxy takes more.
  endpoints: grpcProxyFlags.endpoints,
  "metrics-addr": { ...gatewayFlags["metrics-addr"], parse: parseMetricsUrl },
};

/** The rows without rules between flags: each command line that one of the proxies takes is taken. */
export const anyProxyFlags = Object.fromEntries(
  Object.entries<Flag<unknown>>(rows).map(([name, row]) => [name, withoutRules(row)]),
) as typeof rows;

function withoutRules({
  together: _together,
  conflict: _conflict,
  requires: _requires,
  warning: _warning,
  ...row
}: Flag<unknown>): Flag<unknown> {
  return row;
}
