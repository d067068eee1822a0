// Fetches the metrics of a member for a scraper that asks the proxy, as etcd's proxy does:
// of a member that is up, over the scheme of its endpoint.
import { isIP } from "node:net";
import type { HostPort } from "../core/address.ts";
import type { ClusterConfig } from "../core/gateway-config.ts";
import { type EtcdTls, usesTls } from "../core/tls-config.ts";
import { METRICS_TYPE } from "../observe/metrics.ts";
import type { Network } from "../resolver/cluster-io.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Pool } from "../resolver/pool.ts";
import { type HttpAnswer, textAnswer } from "./http-answer.ts";

// Of one member; a scraper waits for ten seconds by default.
const TIMEOUT_MS = 3000;

/** The part of the configuration that it reads. */
export type MemberMetricsConfig = Pick<ClusterConfig, "discoveryServers"> & {
  readonly tls: EtcdTls;
};

export class MemberMetrics {
  readonly #pool: Pool;
  readonly #network: Network;
  readonly #config: () => MemberMetricsConfig;

  constructor(pool: Pool, network: Network, config: () => MemberMetricsConfig) {
    this.#pool = pool;
    this.#network = network;
    this.#config = config;
  }

  /** Returns the answer of the first member that gives one, with its status. */
  async fetch(): Promise<HttpAnswer> {
    const tried = new Set<Endpoint>();
    for (;;) {
      const endpoint = this.#pool.pick(tried);
      if (endpoint === undefined) return textAnswer(500, "Internal server error\n");
      tried.add(endpoint);
      try {
        const { status, body } = await this.#request(endpoint);
        return { status, contentType: METRICS_TYPE, body };
      } catch {
        // The next member may answer; the pool finds out about this one itself.
      }
    }
  }

  async #request({ address, spec }: Endpoint): Promise<{ status: number; body: string }> {
    const { discoveryServers, tls } = this.#config();
    const host =
      isIP(address.host) === 0
        ? (await this.#network.lookup(address.host, discoveryServers))[0]!
        : address.host;
    const target: HostPort = { host, port: address.port };
    return await this.#network.request(target, spec.certificateNames, {
      path: "/metrics",
      tls: usesTls(spec, tls) ? tls : undefined,
      timeoutMs: TIMEOUT_MS,
    });
  }
}
