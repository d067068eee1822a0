// The interface through which a service runs a proxy. Each proxy implements it.
import type { ObservedProxy } from "../observe/admin-routes.ts";

export interface ProxyServer<Config> extends ObservedProxy {
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
}
