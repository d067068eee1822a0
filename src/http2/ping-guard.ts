// Limits the PINGs of a client, as grpc-go's keepalive enforcement does: after three that
// come too early the connection ends with "too_many_pings".
// @see google.golang.org/grpc internal/transport/http2_server.go, handlePing
import type { Clock } from "../core/clock.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { ConnectionError, ErrorCode } from "./protocol.ts";

const MAX_STRIKES = 2;

export class PingGuard {
  readonly #clock: Pick<Clock, "now">;
  readonly #flood: FloodGuard;
  readonly #minMs: number;
  #lastAt = Number.NEGATIVE_INFINITY;
  #lastSent = 0;
  #strikes = 0;

  /** `minMs`: milliseconds between two PINGs. 0: no limit. */
  constructor(clock: Pick<Clock, "now">, flood: FloodGuard, minMs: number) {
    this.#clock = clock;
    this.#flood = flood;
    this.#minMs = minMs;
  }

  /**
   * Counts a PING. `sent`: how many HEADERS and DATA frames we have sent so far; a client
   * may measure the round trip of each by a PING.
   *
   * @throws {ConnectionError} ENHANCE_YOUR_CALM if too many came too early.
   */
  received(sent: number): void {
    const now = this.#clock.now();
    const isEarly = now - this.#lastAt < this.#minMs;
    if (sent !== this.#lastSent) this.#strikes = 0;
    else {
      this.#flood.count("PING frames");
      if (isEarly && ++this.#strikes > MAX_STRIKES)
        throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    }
    this.#lastSent = sent;
    this.#lastAt = now;
  }
}
