import { lookup } from "node:dns/promises";

/**
 * Asks getaddrinfo, which honours the hosts file and search domains and keeps
 * no cache of its own. The order is the system's (RFC 6724).
 *
 * @throws {Error} with a `code` such as ENOTFOUND.
 */
export async function lookupHost(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
}
