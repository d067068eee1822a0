// What must hold before the gateway listens.
import { formatHostPort, type HostPort } from "../config/address.ts";
import type { TlsFiles } from "../config/gateway-config.ts";
import { UsageError } from "../config/usage-error.ts";
import { isIP } from "node:net";
import type { Names } from "../resolver/names.ts";
import { type EndpointSpec, labelOf } from "../config/endpoint-spec.ts";
import { StartError } from "./start-error.ts";

/**
 * The listen address with an IP literal as host: of a name's addresses the
 * first IPv4 one, as Go prefers for a listener.
 *
 * @throws {StartError} if the name does not resolve.
 */
export async function resolveListenHost(
  listen: HostPort,
  lookup: (host: string) => Promise<readonly string[]>,
): Promise<HostPort> {
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

/** @throws {UsageError} if a file that is named cannot be used. */
export async function checkTlsFiles(
  network: { checkTlsFiles(files: TlsFiles): Promise<void> },
  files: TlsFiles,
): Promise<void> {
  try {
    await network.checkTlsFiles(files);
  } catch (error) {
    throw new UsageError((error as Error).message);
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
 * Resolves what --endpoints names and returns what does not, with the reason.
 *
 * @throws {UsageError} if one resolves to the gateway itself.
 */
export async function checkEndpoints(
  endpoints: readonly EndpointSpec[],
  { names, isSelf, timeoutMs, listen }: EndpointChecks,
): Promise<[EndpointSpec, string][]> {
  const check = async (spec: EndpointSpec): Promise<[EndpointSpec, string][]> => {
    const { host, port } = spec.address;
    const { addresses, error } = await names.find(host, timeoutMs);
    const own = addresses?.find((address) => isSelf(address, port));
    if (own !== undefined) {
      throw new UsageError(
        `Cannot use --endpoints "${labelOf(spec)}": it resolves to ${own}, the gateway's own --listen-addr "${listen}"; name etcd's address`,
      );
    }
    return addresses === undefined ? [[spec, error?.code ?? "no address"]] : [];
  };
  return (await Promise.all(endpoints.map(check))).flat();
}

/** No endpoint has an address: why, of each. */
export function noneResolves(unresolved: readonly [EndpointSpec, string][]): StartError {
  const names = unresolved.map(([spec, why]) => `"${labelOf(spec)}" (${why})`);
  return new StartError(`Cannot resolve any of --endpoints: ${names.join(", ")}`);
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
