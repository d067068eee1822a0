// Turns etcd's member list into endpoints: selects the usable client URLs, and
// sets the certificate names, priority and weight of each. It sends no request.
import { type EndpointSpec, isSameAddress, parseStaticEndpoint } from "../core/endpoint-spec.ts";
import type { SrvConfig } from "../core/gateway-config.ts";
import { mustVerify } from "./srv.ts";

/**
 * Returns the client URLs that a member list advertises, as endpoints. Leaves out
 * learners, which cannot serve all requests, and members without a client URL,
 * which have not started. Leaves out loopback addresses (etcd's default) unless
 * `queriedAddress` is loopback: from here they do not reach that member.
 *
 * @throws {Error} if no endpoint is left.
 */
export function parseMemberList(response: unknown, queriedAddress: string): EndpointSpec[] {
  const { members } = response as { members?: unknown };
  if (!Array.isArray(members)) throw new Error("the answer is not a member list");

  const specs = members
    .filter((member) => member?.isLearner !== true)
    .flatMap((member) => (Array.isArray(member?.clientURLs) ? member.clientURLs : []))
    .flatMap(specOf)
    .filter(({ address }) => isLoopback(queriedAddress) || !isLoopback(address.host));
  if (specs.length === 0) throw new Error("no member advertises an address that can be dialled");
  return specs;
}

/**
 * Adds the discovery domain to the names that a member's certificate may hold,
 * since the verified cluster vouches for its members. Where endpoints must be
 * verified, also sets the scheme to https, so that a member is only queried over TLS.
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

/**
 * Gives each member the priority and weight of the seed with its label. A member
 * without a seed gets the best priority and the highest weight of all seeds, or its own
 * if there are none.
 */
export function withInheritedPriority(
  seeds: readonly EndpointSpec[],
  members: readonly EndpointSpec[],
): readonly EndpointSpec[] {
  if (seeds.length === 0) return members;
  const bestPriority = Math.min(...seeds.map(({ priority }) => priority));
  const highestWeight = Math.max(...seeds.map(({ weight }) => weight));

  return members.map((member) => {
    const seed = seeds.find((other) => isSameAddress(other, member));
    return {
      ...member,
      priority: seed?.priority ?? bestPriority,
      weight: seed?.weight ?? highestWeight,
    };
  });
}

function specOf(url: unknown): EndpointSpec[] {
  try {
    return [{ ...parseStaticEndpoint(String(url)), origin: "member list" }];
  } catch {
    return []; // a Unix socket, or not a URL
  }
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.[\d.]+|::1|0\.0\.0\.0|::)$/i.test(host);
}
