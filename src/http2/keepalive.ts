// Finds out whether the peer of a connection is still there: sends a PING when nothing has
// arrived for a while, and ends the connection if nothing arrives afterwards either.
import { type Clock, noTimer } from "../core/clock.ts";
import type { Connection } from "./connection.ts";

export interface KeepaliveOptions {
  /** Milliseconds of silence after which a PING is sent. 0: never. */
  readonly timeMs: number;
  /** Milliseconds to wait for a sign of life after the PING. */
  readonly timeoutMs: number;
  /** Whether a connection without streams is checked too. */
  readonly isWithoutStreams: boolean;
}

type Watched = Pick<Connection, "receptions" | "streamCount" | "ping" | "terminate">;

export class Keepalive {
  readonly #clock: Clock;
  readonly #connection: Watched;
  readonly #options: KeepaliveOptions;
  #cancelTimer = noTimer;
  #lastReceptions = 0;

  constructor(clock: Clock, connection: Watched, options: KeepaliveOptions) {
    this.#clock = clock;
    this.#connection = connection;
    this.#options = options;
  }

  start(): void {
    if (this.#options.timeMs === 0) return;
    this.#lastReceptions = this.#connection.receptions;
    this.#cancelTimer = this.#clock.after(this.#options.timeMs, () => this.#check());
  }

  /** May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  #check(): void {
    const { receptions, streamCount } = this.#connection;
    const isSilent = receptions === this.#lastReceptions;
    if (!isSilent || (streamCount === 0 && !this.#options.isWithoutStreams)) {
      this.start();
      return;
    }

    this.#connection.ping();
    this.#cancelTimer = this.#clock.after(this.#options.timeoutMs, () => {
      if (this.#connection.receptions !== this.#lastReceptions) this.start();
      else this.#connection.terminate("no answer to a keepalive PING");
    });
  }
}
