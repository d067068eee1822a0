// The body of a request as far as it has arrived: for a member that has yet to get it, and
// to send it again if a member did not process it.
import { detach } from "../core/detach.ts";

// A request of at most this size is kept until its response begins.
const MAX_KEPT_BYTES = 16 * 1024;

export class KeptRequest {
  /** Undefined once the body is too large to be kept, or is not needed any more. */
  #chunks: Uint8Array[] | undefined = [];
  #bytes = 0;
  isComplete: boolean;

  /** `isComplete`: there is no body. */
  constructor(isComplete: boolean) {
    this.isComplete = isComplete;
  }

  /** Whether the whole body so far is here. */
  get isKept(): boolean {
    return this.#chunks !== undefined;
  }

  get chunks(): readonly Uint8Array[] {
    return this.#chunks ?? [];
  }

  /** Adds a chunk. `isSent`: a member has been sent it, so that it is kept only while the body is small. */
  add(chunk: Uint8Array, isSent: boolean): void {
    if (this.#chunks === undefined) return;
    this.#bytes += chunk.length;
    if (chunk.length > 0 || this.isComplete) this.#chunks.push(detach(chunk));
    if (isSent) this.dropIfLarge();
  }

  /** A member has been sent the body: drops it unless it is small. */
  dropIfLarge(): void {
    if (this.#bytes > MAX_KEPT_BYTES) this.#chunks = undefined;
  }

  /** Sends another body instead. */
  replace(body: Uint8Array): void {
    this.#chunks = [body];
  }

  /** The body is not needed any more. */
  drop(): void {
    this.#chunks = undefined;
  }
}
