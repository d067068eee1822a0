// What a gateway is told to do: the result of reading flags and environment.
// Its values are valid; the form of each is checked where the text is read.
import type { HostPort } from "./address.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "auto" | "json" | "console";

export interface GatewayConfig {
  /** At least one. The same address may stand twice only by another spelling. */
  readonly endpoints: readonly HostPort[];
  /** Port 0: the system chooses. */
  readonly listen: HostPort;
  /** Milliseconds between two dials of an endpoint that is down. At least 1. */
  readonly retryDelayMs: number;
  /** Milliseconds for one endpoint's name lookup and connect together. At least 1. */
  readonly dialTimeoutMs: number;
  /** Milliseconds that relays may go on after a stop was asked for. 0: none. */
  readonly drainTimeoutMs: number;
  /** Relays at the same time. 0: as many as the descriptor limit allows. */
  readonly maxConnections: number;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}
