// What must hold of the configured endpoints and TLS files before a proxy serves.
import type { TlsFiles } from "../core/gateway-config.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import { StartError } from "../core/start-error.ts";
import { UsageError } from "../core/usage-error.ts";
import type { DnsCache } from "./dns-cache.ts";

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
  readonly names: DnsCache;
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
