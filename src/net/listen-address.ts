// Where a proxy listens: the address that a flag names, or an inherited socket,
// and in words why it cannot.
import { isIP } from "node:net";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { StartError } from "../core/start-error.ts";

/** An address that is listened on, and the flag that names it. */
export interface Listen {
  readonly flag: "--listen-addr" | "--metrics-addr";
  readonly address: HostPort;
}

export interface ListenHostDeps {
  readonly lookup: (host: string) => Promise<readonly string[]>;
  readonly hasIpv6: () => boolean;
}

/**
 * Returns the listen address with an IP literal as host. Without a host that is
 * every address of the machine: `::`, which takes IPv4 clients too, or 0.0.0.0
 * where the kernel has no IPv6. Of a name's addresses it is the first IPv4 one,
 * as Go prefers for a listener.
 *
 * @throws {StartError} if the name does not resolve, or the kernel has no IPv6
 *   for an IPv6 literal.
 */
export async function resolveListenHost(
  listen: Listen,
  { lookup, hasIpv6 }: ListenHostDeps,
): Promise<HostPort> {
  const { host, port } = listen.address;
  if (host === "") return { host: hasIpv6() ? "::" : "0.0.0.0", port };
  if (isIP(host) === 6 && !hasIpv6())
    throw cannotListen(listen, "this machine has no IPv6; choose an IPv4 address");
  if (isIP(host) !== 0) return listen.address;
  try {
    const addresses = await lookup(host);
    return { host: addresses.find((address) => isIP(address) === 4) ?? addresses[0]!, port };
  } catch (error) {
    const fact = (error as { code?: string }).code ?? "unknown error";
    throw cannotListen(listen, `its name does not resolve (${fact})`, error);
  }
}

export interface WhereDeps {
  readonly network: {
    lookup(host: string, servers: readonly HostPort[]): Promise<readonly string[]>;
  };
  readonly system: { listenAddress(fd: number): HostPort; hasIpv6(): boolean };
  readonly inheritedListener?: number | undefined;
}

/**
 * Where the gateway listens: where the socket does that it has inherited, or
 * what the flag says, with an IP literal as host.
 *
 * @throws {StartError} unless the socket is a TCP socket that listens, or if the name does not resolve.
 */
export async function whereToListen(
  listen: Listen,
  { network, system, inheritedListener }: WhereDeps,
): Promise<HostPort> {
  if (inheritedListener === undefined)
    return resolveListenHost(listen, {
      lookup: (host) => network.lookup(host, []),
      hasIpv6: system.hasIpv6,
    });
  try {
    return system.listenAddress(inheritedListener);
  } catch (error) {
    throw new StartError(
      `Cannot listen on the inherited socket (LISTEN_FDS): it is not a listening TCP socket (${(error as Error).message}); correct the socket unit`,
      { cause: error },
    );
  }
}

/** The failed listen on what the user wrote, in words that say what to do. */
export function listenFailure(listen: Listen, error: unknown): StartError {
  const { code = String(error) } = error as { code?: string };
  const why: Record<string, string> = {
    EADDRINUSE: `the address is in use; stop the other program or choose another ${listen.flag}`,
    EADDRNOTAVAIL: "this machine has no such address",
    EACCES: "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
  };
  return cannotListen(listen, why[code] ?? code, error);
}

function cannotListen({ flag, address }: Listen, why: string, cause?: unknown): StartError {
  const where = `${flag === "--listen-addr" ? "" : `${flag} `}"${formatHostPort(address)}"`;
  return new StartError(`Cannot listen on ${where}: ${why}`, { cause });
}
