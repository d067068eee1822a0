// Whether a member list is of use from this machine. In containers and behind
// NAT, members advertise addresses that mean nothing here, while the endpoint
// that gave the list works.
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import { describeTlsError } from "./tls-error.ts";

// Members that are probed at the same time, which costs a descriptor each.
const MAX_PROBES = 16;

/** A member list of which no member can be reached from here. */
export class UnreachableMembersError extends Error {
  override name = "UnreachableMembersError";

  constructor(
    members: readonly EndpointSpec[],
    reasons: readonly string[],
    readonly answeredBy: EndpointSpec,
  ) {
    const tried = reasons.map((reason, i) => `${labelOf(members[i]!)}: ${reason}`).join("; ");
    super(
      `no member can be reached at the address that it advertises (${tried}); set etcd's --advertise-client-urls to addresses that this machine reaches`,
    );
  }
}

/**
 * Resolves if a member is the endpoint that gave the list, or accepts a
 * connection. `probe` opens one connection and closes it, or rejects.
 *
 * @throws {UnreachableMembersError} if none does.
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

export function isSameAddress(a: EndpointSpec, b: EndpointSpec): boolean {
  return labelOf(a).toLowerCase() === labelOf(b).toLowerCase();
}
