// An endpoint as a source names it: a flag, an SRV record, the cluster's own
// member list. Whether it is up, and how busy it is, is the pool's matter.
import { formatHostPort, type HostPort, parseEndpoint } from "./address.ts";

/** How etcd is spoken to at an endpoint, by the gateway itself; clients speak what they like. */
export type Scheme = "http" | "https";

/** Who named the endpoint, in the words that the log and `check` use. */
export type Origin = "--endpoints" | "SRV" | "member list";

export interface EndpointSpec {
  readonly address: HostPort;
  /** Undefined: nobody said. */
  readonly scheme: Scheme | undefined;
  /** RFC 2782: 0 to 65535, the lowest is the best. */
  readonly priority: number;
  /** RFC 2782: 0 to 65535, a share among those of the same priority. */
  readonly weight: number;
  readonly origin: Origin;
  /** Names or IP literals of which a certificate must hold one to be this endpoint's. At least one. */
  readonly certificateNames: readonly string[];
  /** IP literals that proved themselves in a TLS handshake; no other may be dialled. Undefined: any may. */
  readonly verifiedAddresses?: ReadonlySet<string>;
}

/** `host:port`: how logs name an endpoint, and what makes two of them the same. */
export function labelOf({ address }: EndpointSpec): string {
  return formatHostPort(address);
}

/** `https://host:port`, as etcd's own log writes what it discovered. */
export function urlOf(spec: EndpointSpec): string {
  return spec.scheme === undefined ? labelOf(spec) : `${spec.scheme}://${labelOf(spec)}`;
}

/**
 * Reads one value of --endpoints. A scheme says how the member list is asked for.
 *
 * @throws {RangeError} whose message is the fact alone.
 */
export function parseStaticEndpoint(text: string): EndpointSpec {
  const address = parseEndpoint(text);
  const [, scheme] = /^\s*(https?):\/\//i.exec(text) ?? [];
  return {
    address,
    scheme: scheme?.toLowerCase() as Scheme | undefined,
    priority: 0,
    weight: 0,
    origin: "--endpoints",
    certificateNames: [address.host],
  };
}
