// What one direction of a call owes its sender: bytes that were received, and for which the
// window is returned once they have left the proxy.
import type { Stream } from "../http2/stream.ts";

export class Credit {
  #bytes = 0;

  /** Counts bytes that the sender's stream has received. */
  received(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * `bytes` were handed on, or more, or fewer: a rewritten message has another length, and
   * one that is sent again counts twice. When nothing waits, all is returned; a message that
   * is not complete is then held beyond the window, up to the limit of its size.
   */
  settle(source: Stream, bytes: number, isAllSent: boolean): void {
    const returned = isAllSent ? this.#bytes : Math.min(bytes, this.#bytes);
    this.#bytes -= returned;
    if (returned > 0) source.consumed(returned);
  }
}
