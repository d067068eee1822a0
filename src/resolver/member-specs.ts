// What the cluster's member list makes of endpoints: which URLs count, under
// which names a member must prove itself, and its rank.
import { type EndpointSpec, labelOf, parseStaticEndpoint } from "../core/endpoint-spec.ts";
import type { SrvConfig } from "../core/gateway-config.ts";
import { mustVerify } from "./srv.ts";

/**
 * What a member list advertises to clients. Learners cannot serve all requests,
 * a member without a client URL has not started, and a loopback address that a
 * member of another machine advertises (etcd's own default) is not that member.
 *
 * @throws {Error} if nothing is left.
 */
export function parseMemberList(answer: unknown, askedAddress: string): EndpointSpec[] {
  const { members } = answer as { members?: unknown };
  if (!Array.isArray(members)) throw new Error("the answer is not a member list");
  const found = members
    .filter((member) => member?.isLearner !== true)
    .flatMap((member) => (Array.isArray(member?.clientURLs) ? member.clientURLs : []))
    .flatMap(specOf)
    .filter(({ address }) => isLoopback(askedAddress) || !isLoopback(address.host));
  if (found.length === 0) throw new Error("no member advertises an address that can be dialled");
  return found;
}

/**
 * The cluster vouches for its members: a certificate for the discovery domain
 * will do as well. Where they must be verified they are never asked but by TLS.
 */
export function withCertificateNames(
  srv: SrvConfig | undefined,
  members: readonly EndpointSpec[],
): readonly EndpointSpec[] {
  if (srv === undefined) return members;
  return members.map((member) => ({
    ...member,
    scheme: mustVerify(srv) ? "https" : member.scheme,
    certificateNames: [...member.certificateNames, srv.domain],
  }));
}

/** A member that a seed names too has its priority and weight; any other is one of the best. */
export function withInheritedPriority(
  seeds: readonly EndpointSpec[],
  members: readonly EndpointSpec[],
): readonly EndpointSpec[] {
  const best = Math.min(...seeds.map(({ priority }) => priority));
  const most = Math.max(...seeds.map(({ weight }) => weight));
  return members.map((member) => {
    const label = labelOf(member).toLowerCase();
    const seed = seeds.find((other) => labelOf(other).toLowerCase() === label);
    return { ...member, priority: seed?.priority ?? best, weight: seed?.weight ?? most };
  });
}

function specOf(url: unknown): EndpointSpec[] {
  try {
    return [{ ...parseStaticEndpoint(String(url)), origin: "member list" }];
  } catch {
    return []; // a Unix socket, or nothing that we understand
  }
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.[\d.]+|::1|0\.0\.0\.0|::)$/i.test(host);
}
