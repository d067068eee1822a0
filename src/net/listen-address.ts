// Determines the address that a proxy listens on, from a flag or an inherited socket,
// and describes why it cannot listen there. It does not listen.
import { isIP } from "node:net";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { StartError } from "../core/start-error.ts";

/** A listen address as configured, and the flag that sets it. */
export interface Listen {
  readonly flag: "--listen-addr" | "--metrics-addr";
  readonly address: HostPort;
}

export interface ListenHostDeps {
  readonly lookup: (host: string) => Promise<readonly string[]>;
  readonly hasIpv6: () => boolean;
}

/**
 * Returns the listen address with an IP literal as host. An empty host becomes `::`,
 * which also accepts IPv4 clients, or 0.0.0.0 if the kernel has no IPv6. A name
 * becomes its first IPv4 address, as in Go, or else its first address.
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

export interface ListenAddressDeps {
  readonly network: {
    lookup(host: string, servers: readonly HostPort[]): Promise<readonly string[]>;
  };
  readonly system: { listenAddress(fd: number): HostPort; hasIpv6(): boolean };
  readonly inheritedListener?: number | undefined;
}

/**
 * Returns the address that the gateway listens on, with an IP literal as host: the
 * address of the inherited socket if there is one, otherwise that of the flag.
 *
 * @throws {StartError} if the inherited socket is not a listening TCP socket, or for
 *   the reasons of `resolveListenHost`.
 */
export async function resolveListenAddress(
  listen: Listen,
  { network, system, inheritedListener }: ListenAddressDeps,
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

/** Returns the error for a failed listen. The message names the configured address and what to do. */
export function listenFailure(listen: Listen, error: unknown): StartError {
  const { code = String(error) } = error as { code?: string };
  const reasons: Record<string, string> = {
    EADDRINUSE: `the address is in use; stop the other program or choose another ${listen.flag}`,
    EADDRNOTAVAIL: "this machine has no such address",
    EACCES: "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
  };
  return cannotListen(listen, reasons[code] ?? code, error);
}

function cannotListen({ flag, address }: Listen, reason: string, cause?: unknown): StartError {
  const target = `${flag === "--listen-addr" ? "" : `${flag} `}"${formatHostPort(address)}"`;
  return new StartError(`Cannot listen on ${target}: ${reason}`, { cause });
}
