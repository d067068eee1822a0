// Checks that a member list is usable from this machine. In containers and with
// NAT, members may advertise addresses that cannot be reached from here, although the
// endpoint that returned the list can.
import { type EndpointSpec, isSameAddress, labelOf } from "../core/endpoint-spec.ts";
import { describeTlsError } from "./tls-error.ts";

// Members that are probed, all at once: each probe costs a descriptor.
const MAX_PROBES = 16;

/** No member of a list can be reached from this machine. The message lists the reasons. */
export class UnreachableMembersError extends Error {
  override name = "UnreachableMembersError";

  constructor(
    members: readonly EndpointSpec[],
    reasons: readonly string[],
    readonly answeredBy: EndpointSpec,
  ) {
    const details = reasons.map((reason, i) => `${labelOf(members[i]!)}: ${reason}`).join("; ");
    super(
      `no member can be reached at the address that it advertises (${details}); set etcd's --advertise-client-urls to addresses that this machine reaches`,
    );
  }
}

/**
 * Resolves if a member is the endpoint that returned the list, or if one of the
 * first `MAX_PROBES` members accepts a connection. `probe` opens a connection and closes
 * it, or rejects.
 *
 * @throws {UnreachableMembersError} if all probes fail.
 */
export async function checkReachable(
  members: readonly EndpointSpec[],
  answeredBy: EndpointSpec,
  probe: (spec: EndpointSpec) => Promise<void>,
): Promise<void> {
  if (members.some((member) => isSameAddress(member, answeredBy))) return;

  const probes = members.slice(0, MAX_PROBES).map(probe);
  try {
    await Promise.any(probes);
  } catch (error) {
    const reasons = (error as AggregateError).errors.map(describeTlsError);
    throw new UnreachableMembersError(members, reasons, answeredBy);
  }
}
