// The cluster's input and output, as the current configuration demands: name
// lookups, dials, SRV, member list, health requests. Used by a proxy and by `check`.
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { ClusterConfig, TlsFiles } from "../core/gateway-config.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import { EndpointVerifier, type Verify } from "./endpoint-verifier.ts";
import { checkHealth } from "./health-request.ts";
import type { CheckHealth } from "./active-health.ts";
import { MemberList, type MemberRequest } from "./member-list.ts";
import { DnsCache } from "./dns-cache.ts";
import type { IsSelf } from "./self-address.ts";
import { type SrvRecord, SrvSource } from "./srv.ts";
import { Connector } from "./connector.ts";

/**
 * The network as the proxy's own requests use it. `servers` are DNS servers; none:
 * the system's. Lookups end by the resolver's own schedule, or when `signal` aborts,
 * and reject with a `code`.
 */
export interface Network {
  /** Resolves with the addresses of a host, at least one. */
  lookup(
    host: string,
    servers: readonly HostPort[],
    signal?: AbortSignal,
  ): Promise<readonly string[]>;
  resolveSrv(
    name: string,
    servers: readonly HostPort[],
    signal?: AbortSignal,
  ): Promise<readonly SrvRecord[]>;
  /** Checks that the files can be used; rejects with the fault. */
  checkTlsFiles(files: TlsFiles): Promise<void>;
  /** Performs a TLS handshake with an IP literal, whose certificate must hold one of `names`. */
  verify(
    address: HostPort,
    names: readonly string[],
    options: { readonly tls: TlsFiles; readonly timeoutMs: number },
  ): Promise<void>;
  /** Sends a POST of JSON to an IP literal, or a GET without a body; over TLS if `tls` is set. */
  request(
    address: HostPort,
    names: readonly string[],
    options: Partial<MemberRequest> & {
      readonly path: string;
      readonly tls: TlsFiles | undefined;
      readonly timeoutMs: number;
    },
  ): Promise<{ readonly status: number; readonly body: string }>;
}

/** What the cluster reaches the world through. */
export interface ClusterIoDeps {
  readonly clock: Clock;
  readonly network: Network;
  readonly system: TcpSystem;
  readonly isSelf: IsSelf;
}

export interface ClusterIo {
  readonly names: DnsCache;
  readonly dialer: Connector;
  readonly srv: SrvSource;
  readonly members: MemberList;
  readonly verify: Verify;
  readonly checkHealth: CheckHealth;
  /** Returns a verifier of endpoints, which has verified none yet. */
  createVerifier(): EndpointVerifier;
}

/**
 * Opens nothing, and keeps nothing open between two calls. `config` returns the current
 * configuration.
 */
export function createClusterIo(
  config: () => ClusterConfig,
  { clock, network, system, isSelf }: ClusterIoDeps,
): ClusterIo {
  const servers = () => config().discoveryServers;
  const names = new DnsCache((host, signal) => network.lookup(host, servers(), signal), clock);
  const timeoutMs = () => config().dialTimeoutMs;
  const verify: Verify = (address, certificateNames) =>
    network.verify(address, certificateNames, { tls: config().tls, timeoutMs: timeoutMs() });
  return {
    names,
    dialer: new Connector(names, system, clock, isSelf),
    srv: new SrvSource((name, signal) => network.resolveSrv(name, servers(), signal)),
    members: new MemberList(names, isSelf, clock, (spec, host, question) => {
      const { address, scheme, certificateNames, unixPath } = spec;
      if (unixPath !== undefined) return Promise.reject(new Error("not asked: a Unix socket"));
      const { tls } = config();
      const isSecure = scheme === undefined ? usesTls(tls) : scheme === "https";
      return network.request({ host, port: address.port }, certificateNames, {
        ...question,
        tls: isSecure ? tls : undefined,
        timeoutMs: timeoutMs(),
      });
    }),
    checkHealth: (endpoint) => {
      const { healthUrl } = config();
      // The health URL is one of TCP.
      const isChecked = healthUrl !== undefined && endpoint.spec.unixPath === undefined;
      const query = { names, clock, request: network.request, isSelf };
      return isChecked
        ? checkHealth(endpoint, { ...query, config: { ...config(), healthUrl } })
        : Promise.resolve({ state: "healthy" });
    },
    verify,
    createVerifier: () => new EndpointVerifier(names, isSelf, verify, clock),
  };
}

/** Certificate files, or that none are verified, imply TLS where an endpoint has no scheme. */
function usesTls({ trustedCaFile, certFile, insecureSkipVerify }: TlsFiles): boolean {
  return trustedCaFile !== undefined || certFile !== undefined || insecureSkipVerify === true;
}
