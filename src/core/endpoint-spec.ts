// An endpoint as its source describes it: a flag, an SRV record or the cluster's
// member list. Its state (up, healthy, busy) belongs to the pool.
import { formatHostPort, type HostPort, parseEndpoint, UNIX_ADDRESS } from "./address.ts";

/** The protocol that the gateway's own requests to an endpoint use. It does not concern clients. */
export type Scheme = "http" | "https";

/** Where an endpoint came from, as the log and `check` write it. */
export type Origin = "--endpoints" | "SRV" | "member list";

export interface EndpointSpec {
  /** Of a Unix socket: `unix:` and its path as the host, and port 0. */
  readonly address: HostPort;
  /** Path of the Unix socket on which the endpoint listens, relative to the working directory. Undefined: it listens on TCP. */
  readonly unixPath?: string;
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

/** Returns `host:port` or `unix://path`, which names an endpoint in logs and identifies it. */
export function labelOf({ address, unixPath }: EndpointSpec): string {
  return unixPath === undefined ? formatHostPort(address) : UNIX + unixPath;
}

const UNIX = "unix://";

/** Returns `dial tcp host:port` or `dial unix path`, with which Go's errors of a dial begin. */
export function dialOf(spec: EndpointSpec): string {
  return spec.unixPath === undefined ? `dial tcp ${labelOf(spec)}` : `dial unix ${spec.unixPath}`;
}

/**
 * Returns the key under which an endpoint is compared. Hosts are compared without
 * case: SRV, --endpoints and members may write one differently. Paths are not.
 */
export function keyOfLabel(label: string): string {
  return label.startsWith(UNIX) ? label : label.toLowerCase();
}

/** Whether two endpoints have the same host and port. */
export function isSameAddress(a: EndpointSpec, b: EndpointSpec): boolean {
  return keyOfLabel(labelOf(a)) === keyOfLabel(labelOf(b));
}

/** Returns `https://host:port`, as etcd logs a discovered endpoint, or `unixs://path`. */
export function urlOf(spec: EndpointSpec): string {
  if (spec.unixPath !== undefined)
    return `${spec.scheme === "https" ? "unixs://" : UNIX}${spec.unixPath}`;
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

/**
 * Parses one endpoint of a proxy that dials Unix sockets too: as `parseStaticEndpoint`
 * does, or `unix://PATH`, or `unixs://PATH` for TLS. `unix://dir/socket` is relative to
 * the working directory, `unix:///dir/socket` is not. A certificate holds the file's
 * name, without a colon and what follows. A misspelt scheme would be dialled without TLS,
 * so that another one is refused.
 *
 * @throws {RangeError} whose message is only the fact.
 * @see etcd client/v3/internal/endpoint/endpoint.go, translateEndpoint
 */
export function parseDialableEndpoint(text: string): EndpointSpec {
  const match = /^\s*unix(s?):(?:\/\/)?(.*?)\s*$/i.exec(text);
  if (match === null) {
    const [, scheme = "http"] = /^\s*([^/]*):\/\//.exec(text) ?? [];
    if (!/^https?$/i.test(scheme))
      throw new RangeError(`scheme "${scheme}" is not one of http, https, unix and unixs`);
    return parseStaticEndpoint(text);
  }
  const [, secure, path = ""] = match;
  const file = path.split("/").at(-1)!;
  if (file === "") throw new RangeError("a Unix socket needs the path of a file");
  return {
    address: { host: UNIX_ADDRESS + path, port: 0 },
    unixPath: path,
    scheme: secure === "" ? undefined : "https",
    priority: 0,
    weight: 0,
    origin: "--endpoints",
    certificateNames: [file.replace(/:.*$/, "")],
  };
}
