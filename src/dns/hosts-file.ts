// hosts(5): names and their addresses, as Go reads the file.
import { isIP } from "node:net";

/** Addresses by name, in lower case, with a trailing dot if the name has a dot at all. */
export type HostsFile = ReadonlyMap<string, readonly string[]>;

/**
 * Reads a hosts file. A name on several lines has the addresses of all of them.
 *
 * @see Go net/hosts.go, readHosts
 */
export function parseHosts(text: string): HostsFile {
  const hosts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [address, ...names] = line
      .replace(/#.*/s, "")
      .split(/[ \r\t]+/)
      .filter((field) => field !== "");
    if (address === undefined || isIP(address) === 0) continue;
    for (const name of names) {
      const key = keyOf(name);
      const addresses = hosts.get(key);
      if (addresses === undefined) hosts.set(key, [address]);
      else addresses.push(address);
    }
  }
  return hosts;
}

/** Returns the addresses of `host`; undefined if the file does not name it. */
export function findHost(hosts: HostsFile, host: string): readonly string[] | undefined {
  return hosts.get(keyOf(host));
}

/** Names without a dot are this machine's own; all others are absolute. */
function keyOf(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes(".") && !lower.endsWith(".") ? `${lower}.` : lower;
}
