// Which of an endpoint's addresses may be used: one rule for dials, health checks and
// member list queries. The last two also share the delay between addresses and the
// description of their failures.
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { IsSelf } from "./self-address.ts";
import { describeTlsError } from "./tls-error.ts";

/**
 * Silence of an address, in milliseconds, after which a request is sent to the next
 * address as well: the Connection Attempt Delay of RFC 8305, section 8.
 */
export const ADDRESS_DELAY_MS = 250;

/** Returns the addresses that may be dialled: verified, if they must be, and not the gateway's own. */
export function usableAddresses(
  addresses: readonly string[],
  port: number,
  { verifiedAddresses }: EndpointSpec,
  isSelf: IsSelf,
): readonly string[] {
  return addresses.filter(
    (address) => !isSelf(address, port) && verifiedAddresses?.has(address) !== false,
  );
}

/** Joins the failures of an endpoint's addresses. Names the addresses if there are several. */
export function describeAddressFailures(failures: readonly (readonly [string, unknown])[]): string {
  return failures
    .map(
      ([address, error]) => (failures.length === 1 ? "" : `${address}: `) + describeTlsError(error),
    )
    .join(", ");
}
