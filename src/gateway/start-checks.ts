// What must hold before the gateway listens.
import { formatHostPort, type HostPort } from "../config/address.ts";
import { UsageError } from "../config/usage-error.ts";
import { isIP } from "node:net";
import type { Answer, Lookup, Names } from "../resolver/names.ts";
import type { Endpoint } from "../resolver/pool.ts";
import { StartError } from "./start-error.ts";

/**
 * The listen address with an IP literal as host: of a name's addresses the
 * first IPv4 one, as Go prefers for a listener.
 *
 * @throws {StartError} if the name does not resolve.
 */
export async function resolveListenHost(listen: HostPort, lookup: Lookup): Promise<HostPort> {
  if (isIP(listen.host) !== 0) return listen;
  try {
    const addresses = await lookup(listen.host);
    const host = addresses.find((address) => isIP(address) === 4) ?? addresses[0]!;
    return { host, port: listen.port };
  } catch (error) {
    const fact = (error as { code?: string }).code ?? "unknown error";
    throw new StartError(
      `Cannot listen on "${formatHostPort(listen)}": its name does not resolve (${fact})`,
      {
        cause: error,
      },
    );
  }
}

export interface EndpointChecks {
  readonly names: Names;
  readonly isSelf: (address: string, port: number) => boolean;
  readonly timeoutMs: number;
  /** As the user wrote it. */
  readonly listen: string;
}

/**
 * Resolves every endpoint and returns those that do not, with the reason.
 *
 * @throws {UsageError} if one resolves to the gateway itself.
 * @throws {StartError} if none resolves.
 */
export async function checkEndpoints(
  endpoints: readonly Endpoint[],
  { names, isSelf, timeoutMs, listen }: EndpointChecks,
): Promise<[Endpoint, string][]> {
  const check = async (endpoint: Endpoint): Promise<[Endpoint, string][]> => {
    const { host, port } = endpoint.address;
    const { promise, resolve } = Promise.withResolvers<Parameters<Answer>>();
    names.resolve(host, timeoutMs, (...answer) => resolve(answer));
    const [addresses, error] = await promise;
    const own = addresses?.find((address) => isSelf(address, port));
    if (own !== undefined) {
      throw new UsageError(
        `Cannot use --endpoints "${endpoint.label}": it resolves to ${own}, the gateway's own --listen-addr "${listen}"; name etcd's address`,
      );
    }
    return addresses === undefined ? [[endpoint, error?.code ?? "no address"]] : [];
  };
  const unresolved = (await Promise.all(endpoints.map(check))).flat();
  if (unresolved.length === endpoints.length) {
    const names = unresolved.map(([{ label }, why]) => `"${label}" (${why})`);
    throw new StartError(`Cannot resolve any of --endpoints: ${names.join(", ")}`);
  }
  return unresolved;
}

/** The failed listen on what the user wrote, in words that say what to do. */
export function listenFailure(listen: HostPort, error: unknown): StartError {
  const { code = String(error) } = error as { code?: string };
  const why: Record<string, string> = {
    EADDRINUSE: "the address is in use; stop the other program or choose another --listen-addr",
    EADDRNOTAVAIL: "this machine has no such address",
    EACCES: "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
  };
  return new StartError(`Cannot listen on "${formatHostPort(listen)}": ${why[code] ?? code}`, {
    cause: error,
  });
}
