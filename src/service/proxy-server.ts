// The interface through which a service runs a proxy. Each proxy implements it.
import type { Metric } from "../observe/metrics.ts";
import type { GatewayStatus } from "../observe/status.ts";

export interface ProxyServer<Config> {
  /**
   * Listens. Resolves once clients are served.
   *
   * @throws {StartError | UsageError} if it cannot.
   */
  start(): Promise<unknown>;
  /**
   * Applies another configuration. If it throws, nothing has changed.
   *
   * @throws {StartError | UsageError} as `start`.
   */
  reconfigure(config: Config): Promise<void>;
  /**
   * Stops accepting and waits for its clients to leave, until the drain timeout has passed
   * or `signal` aborts. Closes everything and returns the number of connections reset.
   */
  drain(signal: AbortSignal): Promise<number>;
  /** Closes everything at once. May be called twice. */
  close(): void;
  status(): GatewayStatus;
  /** The rows that /metrics has from this proxy. */
  readonly metrics: readonly Metric[];
}
