// An endpoint as its source describes it: a flag, an SRV record or the cluster's
// member list. Its state (up, healthy, busy) belongs to the pool.
import { formatHostPort, type HostPort, parseEndpoint } from "./address.ts";

/** The protocol that the gateway's own requests to an endpoint use. It does not concern clients. */
export type Scheme = "http" | "https";

/** Where an endpoint came from, as the log and `check` write it. */
export type Origin = "--endpoints" | "SRV" | "member list";

export interface EndpointSpec {
  readonly address: HostPort;
  /** Undefined: the source does not say. */
  readonly scheme: Scheme | undefined;
  /** RFC 2782: 0 to 65535, the lowest is preferred. */
  readonly priority: number;
  /** RFC 2782: 0 to 65535, relative to other endpoints of the same priority. */
  readonly weight: number;
  readonly origin: Origin;
  /** A certificate is this endpoint's if it holds one of these names or IP literals. At least one. */
  readonly certificateNames: readonly string[];
  /** IP literals verified by a TLS handshake; only these may be dialled. Undefined: any address may. */
  readonly verifiedAddresses?: ReadonlySet<string>;
}

/** Returns `host:port`, which names an endpoint in logs and identifies it. */
export function labelOf({ address }: EndpointSpec): string {
  return formatHostPort(address);
}

/**
 * Returns the key under which an endpoint is compared. Hosts are compared without
 * case: SRV, --endpoints and members may write one differently.
 */
export function keyOfLabel(label: string): string {
  return label.toLowerCase();
}

/** Whether two endpoints have the same host and port. */
export function isSameAddress(a: EndpointSpec, b: EndpointSpec): boolean {
  return keyOfLabel(labelOf(a)) === keyOfLabel(labelOf(b));
}

/** Returns `https://host:port`, as etcd logs a discovered endpoint. */
export function urlOf(spec: EndpointSpec): string {
  return spec.scheme === undefined ? labelOf(spec) : `${spec.scheme}://${labelOf(spec)}`;
}

/**
 * Parses one value of --endpoints. A scheme selects the protocol of the gateway's own requests.
 *
 * @throws {RangeError} whose message is only the fact.
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
