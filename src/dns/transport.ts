// What the resolver needs from the system: sockets, files, time, random numbers.
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";

export interface Transport {
  /**
   * Sends one datagram from a connected socket with a port that the system chooses, and
   * resolves with the first answer of `server` for which `accepts` returns true. Rejects
   * with a `code`, also when `signal` aborts. Closes the socket in every case.
   */
  exchangeUdp(
    server: HostPort,
    query: Uint8Array,
    accepts: (answer: Uint8Array) => boolean,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /**
   * Sends one message over a new TCP connection and resolves with the first message
   * received, both without their two-byte length prefix. Rejects with a `code`, also when
   * `signal` aborts. Closes the socket in every case.
   */
  exchangeTcp(server: HostPort, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** Reads files and detects changes of them. */
export interface FileReader {
  /** Returns a text that differs once the file has changed. Rejects with a `code` such as ENOENT. */
  version(path: string): Promise<string>;
  /** Returns the text, or its beginning if it is too long. Rejects with a `code`. */
  read(path: string): Promise<string>;
}

/** The dependencies of an exchange. */
export interface ExchangeDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Returns an unpredictable integer from 0 to 65535. */
  readonly randomId: () => number;
}
