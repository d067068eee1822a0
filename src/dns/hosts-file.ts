// Parses hosts(5) as Go does, and finds hosts in it.
import { isIP } from "node:net";

/** Addresses by name. Keys are in lower case; a key with a dot also has a trailing dot. */
export type HostsFile = ReadonlyMap<string, readonly string[]>;

/**
 * Parses a hosts file. A name on several lines has the addresses of all these lines.
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

/** Returns the addresses of `host`; undefined if the file does not contain it. */
export function findHost(hosts: HostsFile, host: string): readonly string[] | undefined {
  return hosts.get(keyOf(host));
}

/** Returns the map key of a name. Names with a dot are absolute, with or without a trailing dot. */
function keyOf(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes(".") && !lower.endsWith(".") ? `${lower}.` : lower;
}
