// Sends one health check to an endpoint: requests the health URL at its addresses,
// in the order and with the delay of a dial, within one timeout. active-health.ts
// decides when to check and what follows from the results.
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { ClusterConfig, TlsFiles } from "../core/gateway-config.ts";
import type { HealthUrl } from "../core/health-url.ts";
import type { Endpoint } from "./endpoint.ts";
import { type HealthResult, parseHealthResponse } from "./active-health.ts";
import type { DnsCache } from "./dns-cache.ts";
import type { IsSelf } from "./self-address.ts";
import { staggeredRace } from "./staggered-race.ts";
import { isUnreached } from "./tls-error.ts";
import { ADDRESS_DELAY_MS, describeAddressFailures, usableAddresses } from "./usable-addresses.ts";

export interface HealthQuery {
  readonly names: DnsCache;
  readonly clock: Clock;
  /** Sends a GET to an IP literal. If `tls` is set, the certificate must hold one of `names`. */
  readonly request: (
    address: HostPort,
    names: readonly string[],
    options: {
      readonly path: string;
      readonly tls: TlsFiles | undefined;
      readonly timeoutMs: number;
    },
  ) => Promise<{ readonly status: number; readonly body: string }>;
  readonly isSelf: IsSelf;
  readonly config: ClusterConfig & { readonly healthUrl: HealthUrl };
}

/** Checks the health of an endpoint once. Never rejects. */
export async function checkHealth(
  { address, spec }: Endpoint,
  { names, clock, request, isSelf, config }: HealthQuery,
): Promise<HealthResult> {
  const { healthUrl, healthTimeoutMs, tls } = config;
  const { scheme, port = address.port, path } = healthUrl;
  const deadline = clock.now() + healthTimeoutMs;

  const { addresses, error } = await names.find(address.host, healthTimeoutMs);
  if (addresses === undefined) return unresponsive(`no address (${error?.code})`);
  const usable = usableAddresses(addresses, port, spec, isSelf);
  if (usable.length === 0) return unresponsive("none of its addresses may be dialled");

  const send = (host: string) => {
    const target: HostPort = { host, port };
    return request(target, spec.certificateNames, {
      path,
      tls: scheme === "https" ? tls : undefined,
      timeoutMs: Math.max(1, deadline - clock.now()),
    });
  };

  const outcome = await staggeredRace(usable, send, {
    clock,
    delayMs: Math.min(ADDRESS_DELAY_MS, healthTimeoutMs / usable.length),
  });
  if (outcome.winner !== undefined)
    return parseHealthResponse(outcome.result.status, outcome.result.body);
  return judgeFailures(outcome.failures);
}

/**
 * Returns the health of an endpoint after every request to it failed: unhealthy if a
 * failure shows that a server answered, such as a TLS alert, otherwise unresponsive.
 */
function judgeFailures(failures: readonly (readonly [string, unknown])[]): HealthResult {
  const isUnresponsive = failures.every(([, error]) => isUnreached(error));
  return {
    state: isUnresponsive ? "unresponsive" : "unhealthy",
    reason: describeAddressFailures(failures),
  };
}

function unresponsive(reason: string): HealthResult {
  return { state: "unresponsive", reason };
}
