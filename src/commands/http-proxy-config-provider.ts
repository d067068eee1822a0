// The configuration of the HTTP proxy as its service sees it: what the flags say, and the
// rest of what the resolver reads, which has no flag yet.
import { CurrentConfig } from "../cli/current-config.ts";
import type { ConfigOf } from "../cli/flag.ts";
import type { ConfigSource } from "../cli/load-config.ts";
import type { HttpProxyConfig } from "../core/http-proxy-config.ts";
import type { ConfigChange, ConfigProvider } from "../service/config-provider.ts";
import { httpProxyFlags } from "./http-proxy-flags.ts";

type Flags = typeof httpProxyFlags;

/** No SRV discovery, no TLS and no health checks. */
const WITHOUT_FLAGS = {
  srv: undefined,
  discoveryRefreshMs: 0,
  tls: {
    trustedCaFile: undefined,
    certFile: undefined,
    keyFile: undefined,
    insecureSkipVerify: false,
  },
  listenTls: {
    certFile: undefined,
    keyFile: undefined,
    trustedCaFile: undefined,
    clientCrlFile: undefined,
    cipherSuites: [],
    minVersion: "TLS1.2",
    maxVersion: undefined,
    isAuto: false,
    selfSignedValidityYears: 1,
    dataDir: "",
  },
  healthUrl: undefined,
  healthIntervalMs: 2000,
  healthTimeoutMs: 1000,
  healthRise: 2,
  healthFall: 3,
  isClosedWhenUnhealthy: false,
} as const;

export class HttpProxyConfigProvider implements ConfigProvider<HttpProxyConfig> {
  readonly #current: CurrentConfig<Flags>;

  private constructor(current: CurrentConfig<Flags>) {
    this.#current = current;
  }

  /**
   * Reads the configuration for the first time.
   *
   * @throws {StartError} if the config file cannot be read.
   * @throws {UsageError} for an invalid flag, variable or config file.
   */
  static async load(source: ConfigSource): Promise<HttpProxyConfigProvider> {
    return new HttpProxyConfigProvider(await CurrentConfig.load(httpProxyFlags, source));
  }

  get config(): HttpProxyConfig {
    return proxyConfig(this.#current.config);
  }

  get warnings(): readonly string[] {
    return this.#current.warnings;
  }

  texts(): Readonly<Record<string, string>> {
    return this.#current.texts();
  }

  async reread(): Promise<ConfigChange<HttpProxyConfig>> {
    const change = await this.#current.reread();
    return { ...change, config: proxyConfig(change.config) };
  }
}

const MIN_REFRESH_MS = 1000;
const DIAL_TIMEOUT_MS = 3000;

/** etcd's own words win over ours. */
function proxyConfig({ etcd, ...config }: ConfigOf<Flags>): HttpProxyConfig {
  const { listen, refreshMs, failureWaitMs, dialTimeoutMs } = etcd;
  const hasPeers = config.peers.length > 0;
  return {
    ...config,
    ...WITHOUT_FLAGS,
    // The peers know all members.
    endpoints: hasPeers ? [] : config.endpoints,
    memberSyncMs: hasPeers ? Math.max(refreshMs, MIN_REFRESH_MS) : config.memberSyncMs,
    listen: listen ?? config.listen,
    retryDelayMs: Math.max(failureWaitMs ?? config.retryDelayMs, 1),
    dialTimeoutMs: (dialTimeoutMs ?? config.dialTimeoutMs) || DIAL_TIMEOUT_MS,
  };
}
