// The body of a request as far as it has arrived: for a member that has yet to get it, and
// to send it again if a member did not process it.
import { ByteQueue } from "../core/byte-queue.ts";
import type { Stream } from "../http2/stream.ts";

// A request of at most this size is kept until its response begins.
const MAX_KEPT_BYTES = 16 * 1024;

// Members that one request is sent to.
const MAX_ATTEMPTS = 3;

export class KeptRequest {
  isComplete: boolean;
  /** Whether the whole body so far is here: it is not too large, and still needed. */
  #isKept = true;
  #attempts = 0;
  /** Undefined: it is empty, or not kept. */
  #body: ByteQueue | undefined;

  /** `isComplete`: there is no body. */
  constructor(isComplete: boolean) {
    this.isComplete = isComplete;
  }

  /** Whether it may be sent to another member, if the last one did not process it. */
  get mayRepeat(): boolean {
    return this.#isKept && this.#attempts < MAX_ATTEMPTS;
  }

  /** Whether there is no body, and none will come. */
  get isEmpty(): boolean {
    return this.isComplete && this.#isKept && this.#body === undefined;
  }

  /** Returns a copy of the body. */
  get bytes(): Uint8Array {
    return Buffer.concat(this.#body?.chunks ?? []);
  }

  /** Adds a chunk. `isSent`: a member has been sent it, so that it is kept only while the body is small. */
  add(chunk: Uint8Array, isSent: boolean): void {
    if (chunk.length > 0 && this.#isKept) (this.#body ??= new ByteQueue()).push(chunk);
    if (isSent) this.#dropIfLarge();
  }

  /** Sends the body so far to a member. */
  sendTo(member: Stream): void {
    this.#attempts++;
    for (const chunk of this.#body?.chunks ?? []) member.write(chunk);
    if (this.isComplete) member.end();
    this.#dropIfLarge();
  }

  /** Sends another body instead. */
  replace(body: Uint8Array): void {
    this.#body = new ByteQueue();
    this.#body.push(body);
  }

  /** The body is not needed any more. */
  drop(): void {
    this.#isKept = false;
    this.#body = undefined;
  }

  /** A member has been sent the body: drops it unless it is small. */
  #dropIfLarge(): void {
    if (this.#body !== undefined && this.#body.bytes > MAX_KEPT_BYTES) this.drop();
  }
}
