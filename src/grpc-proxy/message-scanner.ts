// Finds the messages in the body of a call (gRPC's length-prefixed messages) without
// copying them: counts them, and checks their sizes.

/** Flag byte and length. */
const PREFIX_BYTES = 5;

export class MessageScanner {
  /** Bytes of the current message that have not arrived. */
  #remaining = 0;
  /** Bytes of the current prefix that have arrived, and the length so far. */
  #prefixBytes = 0;
  #length = 0;

  /** Whether the bytes so far end with a whole message. */
  get isComplete(): boolean {
    return this.#remaining === 0 && this.#prefixBytes === 0;
  }

  /** Called with the length of each message when it begins. */
  onMessage: ((bytes: number) => void) | undefined;

  /**
   * Reads the next bytes. Returns how many messages begin in them, or the size of the first
   * that is larger than `maxBytes`, negated.
   */
  scan(chunk: Uint8Array, maxBytes: number): number {
    let messages = 0;
    let at = 0;
    while (at < chunk.length) {
      const skipped = Math.min(this.#remaining, chunk.length - at);
      this.#remaining -= skipped;
      at += skipped;
      // The prefix rarely spans two chunks.
      while (this.#remaining === 0 && at < chunk.length) {
        const byte = chunk[at++]!;
        if (this.#prefixBytes > 0) this.#length = this.#length * 256 + byte;
        if (++this.#prefixBytes < PREFIX_BYTES) continue;
        if (this.#length > maxBytes) return -this.#length;
        messages++;
        this.onMessage?.(this.#length);
        this.#remaining = this.#length;
        this.#prefixBytes = 0;
        this.#length = 0;
        if (this.#remaining > 0) break;
      }
    }
    return messages;
  }
}
