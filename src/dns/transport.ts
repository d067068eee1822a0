// What this room needs of the machine: sockets, files, time, random numbers.
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";

export interface Transport {
  /**
   * Sends one datagram from a connected socket with a port that the system
   * chose, and resolves with the first answer of this server that `accepts`.
   * Rejects with a `code`, or when `signal` is aborted; either way the socket is closed.
   */
  exchangeUdp(
    server: HostPort,
    query: Uint8Array,
    accepts: (answer: Uint8Array) => boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /**
   * Sends one message over a new TCP connection and resolves with the first
   * message that comes back, both without the two bytes of their length.
   * Rejects with a `code`, or when `signal` is aborted; either way the socket is closed.
   */
  exchangeTcp(server: HostPort, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** Which version of a file there is, and how to read it. */
export interface FileReader {
  /** Something that differs when the file has changed; rejects with a `code` such as ENOENT. */
  version(path: string): Promise<string>;
  /** The text, or the beginning of a text that is too long; rejects with a `code`. */
  read(path: string): Promise<string>;
}

/** What an exchange needs. */
export interface ExchangeDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  /** An unpredictable whole number from 0 to 65535. */
  readonly randomId: () => number;
}
