// The ways to find endpoints and to reach them, as the configuration in force
// says. The gateway and `check` look through the same ones.
import type { HostPort } from "../config/address.ts";
import type { Clock } from "../config/clock.ts";
import type { GatewayConfig, TlsFiles } from "../config/gateway-config.ts";
import type { TcpSystem } from "../relay/tcp-socket.ts";
import type { Verify } from "../resolver/admission.ts";
import { askHealth } from "../resolver/ask-health.ts";
import type { AskHealth } from "../resolver/health-checks.ts";
import { MemberList, type Question } from "../resolver/members.ts";
import { Names } from "../resolver/names.ts";
import { type SrvRecord, SrvSource } from "../resolver/srv.ts";
import { EndpointDialer } from "./endpoint-dialer.ts";

/** How the network is asked, for what is no client's traffic. `servers` are DNS servers; none: the system's. */
export interface Network {
  /** Addresses of a host, at least one. */
  lookup(host: string, servers: readonly HostPort[]): Promise<readonly string[]>;
  resolveSrv(name: string, servers: readonly HostPort[]): Promise<readonly SrvRecord[]>;
  /** Whether the files that are named can be used; rejects with what is wrong. */
  checkTlsFiles(files: TlsFiles): Promise<void>;
  /** A TLS handshake with an IP literal, whose certificate must hold one of `names`. */
  verify(
    address: HostPort,
    names: readonly string[],
    options: { readonly tls: TlsFiles; readonly timeoutMs: number },
  ): Promise<void>;
  /** A POST of JSON to an IP literal, without a body a GET; by TLS if `tls` is set. */
  request(
    address: HostPort,
    names: readonly string[],
    options: Partial<Question> & {
      readonly path: string;
      readonly tls: TlsFiles | undefined;
      readonly timeoutMs: number;
    },
  ): Promise<{ readonly status: number; readonly body: string }>;
}

export interface SourcesDeps {
  /** The configuration in force. */
  readonly config: () => GatewayConfig;
  readonly clock: Clock;
  readonly network: Network;
  readonly system: TcpSystem;
  /** Whether a connection to this IP literal and port would reach the gateway itself. */
  readonly isSelf: (address: string, port: number) => boolean;
  /** A dial found no address that was verified: looks whether there are some now. */
  readonly onUnverified: () => Promise<void>;
}

export interface Sources {
  readonly names: Names;
  readonly dialer: EndpointDialer;
  readonly srv: SrvSource;
  readonly members: MemberList;
  readonly verify: Verify;
  readonly askHealth: AskHealth;
}

/** Opens nothing yet, and keeps nothing open between two calls. */
export function createSources(deps: SourcesDeps): Sources {
  const { config, clock, network, system, isSelf, onUnverified } = deps;
  const names = new Names((host) => network.lookup(host, config().discoveryServers), clock);
  const timeoutMs = () => config().dialTimeoutMs;
  return {
    names,
    dialer: new EndpointDialer({
      names,
      system,
      clock,
      limits: config,
      isSelf,
      onUnverified,
    }),
    srv: new SrvSource((name) => network.resolveSrv(name, config().discoveryServers)),
    members: new MemberList({
      clock,
      names,
      isSelf,
      timeoutMs,
      post: ({ address: { port }, scheme, certificateNames }, host, question) => {
        const { tls } = config();
        const isSecure = (scheme ?? (usesTls(tls) ? "https" : "http")) === "https";
        return network.request({ host, port }, certificateNames, {
          ...question,
          tls: isSecure ? tls : undefined,
          timeoutMs: timeoutMs(),
        });
      },
    }),
    askHealth: (endpoint) => {
      const { healthUrl } = config();
      if (healthUrl === undefined) return Promise.resolve({ state: "healthy" });
      const { request } = network;
      return askHealth(endpoint, {
        ...{ names, clock, request, isSelf },
        config: { ...config(), healthUrl },
      });
    },
    verify: (address, names) =>
      network.verify(address, names, { tls: config().tls, timeoutMs: timeoutMs() }),
  };
}

/** Who names certificates means TLS, though no scheme says so. */
function usesTls({ trustedCaFile, certFile }: TlsFiles): boolean {
  return trustedCaFile !== undefined || certFile !== undefined;
}
