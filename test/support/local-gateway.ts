// A gateway inside the test's process, on real loopback sockets.
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import type { GatewayConfig } from "../../src/core/gateway-config.ts";
import { Gateway, type GatewayDeps } from "../../src/gateway/gateway.ts";
import { createNetwork } from "../../src/commands/network.ts";
import type { Network } from "../../src/resolver/cluster-io.ts";
import type { GatewayStatus } from "../../src/gateway/gateway-status.ts";
import { createLog } from "../../src/observe/log.ts";
import { systemClock, wallClock } from "../../src/os/clock.ts";
import * as system from "../../src/os/tcp.ts";
import { readConfig } from "./flags.ts";
import { until } from "./peer.ts";

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The flags whose defaults do not suit a test. */
const FLAGS = {
  "listen-addr": "127.0.0.1:0",
  "discovery-refresh-interval": "0s",
  "max-buffer-memory": "0",
  "log-level": "debug",
  "log-format": "json",
};

/** The configuration of a test that sets nothing. */
const { config: DEFAULTS } = readConfig({
  given: new Map(Object.entries(FLAGS)),
  environment: {},
  readFile: () => "",
});

/** What a test may replace. The rest is real, except DNS: by default no name resolves. */
export type LocalOptions = Partial<GatewayDeps> & Partial<GatewayConfig> & Partial<Network>;

export class LocalGateway {
  readonly log: LogLine[] = [];
  port = 0;
  readonly config: GatewayConfig;
  readonly #gateway: Gateway;

  constructor(endpoints: readonly string[], options: LocalOptions = {}) {
    this.config = {
      ...DEFAULTS,
      endpoints: endpoints.map(parseStaticEndpoint),
      ...options,
    };

    const write = (line: string) => {
      this.log.push(JSON.parse(line));
      return true;
    };
    this.#gateway = new Gateway(this.config, {
      clock: systemClock,
      log: createLog({ level: "debug", format: "json", write, now: wallClock }),
      network: {
        ...createNetwork({}),
        lookup: () =>
          Promise.reject(Object.assign(new Error("this test has no DNS"), { code: "ENOTFOUND" })),
        ...options,
      },
      system,
      isLocalAddress: system.isLocalAddress,
      descriptorLimit: 30_000,
      random: () => 0.5,
      ...options,
    });
  }

  async start(): Promise<this> {
    this.port = (await this.#gateway.start()).port;
    return this;
  }

  /** Applies `changed` as a reload does. */
  reconfigure(changed: Partial<GatewayConfig>): Promise<void> {
    return this.#gateway.reconfigure({ ...this.config, ...changed });
  }

  /** Drains for the drain timeout, or until `signal` aborts; returns the number of relays reset. */
  async drain(signal = new AbortController().signal): Promise<number> {
    return await this.#gateway.drain(signal);
  }

  status(): GatewayStatus {
    return this.#gateway.status();
  }

  close(): void {
    this.#gateway.close();
  }

  /** Returns the lines with this message so far. */
  lines(message: string): LogLine[] {
    return this.log.filter(({ msg }) => msg === message);
  }

  /** Resolves with the lines that have this message, once there are `times`. */
  async logged(message: string, times = 1): Promise<LogLine[]> {
    await until(
      () => this.lines(message).length >= times,
      `"${message}" was logged ${times} times`,
    );
    return this.lines(message);
  }
}
