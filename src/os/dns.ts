// Questions to DNS: to the system's resolver as it is set up, or to servers
// that the user named.
import dns from "node:dns";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { systemClock } from "./clock.ts";

// One server may be asked twice; Bun's own default takes 25 s to give up.
const TRY_MS = 1500;
const TRIES = 2;

// Beyond what the tries of a few servers take together.
const DEADLINE_MS = 8000;

/** One SRV record (RFC 2782) as node:dns gives it. */
export interface SrvAnswer {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly name: string;
}

/**
 * The SRV records of a name, from `servers` (IP literals) or, if there are
 * none, those of resolv.conf. Never from a cache of this process.
 *
 * @throws {Error} with a `code` of node:dns, such as ENOTFOUND or ETIMEOUT.
 */
export function resolveSrv(name: string, servers: readonly HostPort[]): Promise<SrvAnswer[]> {
  return ask(servers, (resolver) => resolver.resolveSrv(name));
}

/**
 * The addresses of a host, at least one. Without `servers` getaddrinfo is
 * asked, which honours the hosts file and search domains and sorts by RFC 6724;
 * with them DNS alone is, IPv4 addresses first.
 *
 * @throws {Error} with a `code` such as ENOTFOUND.
 */
export async function lookupHost(
  host: string,
  servers: readonly HostPort[],
): Promise<readonly string[]> {
  if (servers.length === 0) {
    const found = await dns.promises.lookup(host, { all: true, order: "verbatim" });
    return found.map(({ address }) => address);
  }
  return ask(servers, async (resolver) => {
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (found.length > 0) return found;
    // Of two failures, the one that is not "there is none" says more.
    const errors = answers.flatMap((answer) =>
      answer.status === "rejected" ? [answer.reason] : [],
    );
    throw (
      errors.find(({ code }) => code !== "ENOTFOUND") ??
      errors[0] ??
      Object.assign(new Error(`no address of "${host}"`), { code: "ENOTFOUND" })
    );
  });
}

async function ask<T>(
  servers: readonly HostPort[],
  question: (resolver: dns.promises.Resolver) => Promise<T>,
): Promise<T> {
  // A new one each time: it reads resolv.conf afresh, and its cache is empty.
  const resolver = new dns.promises.Resolver({ timeout: TRY_MS, tries: TRIES });
  if (servers.length > 0) resolver.setServers(servers.map(formatHostPort));
  const { promise, reject } = Promise.withResolvers<never>();
  const cancelDeadline = systemClock.after(DEADLINE_MS, () =>
    reject(Object.assign(new Error("no answer in time"), { code: "ETIMEOUT" })),
  );
  try {
    return await Promise.race([question(resolver), promise]);
  } finally {
    cancelDeadline();
  }
}
