// Assembles the messages of one direction of a call and rewrites each: for the namespace,
// and for the member list. A call whose messages pass unopened has none.
import { gunzipSync, inflateSync } from "node:zlib";
import { ByteQueue } from "../core/byte-queue.ts";
import { readUint32 } from "../http2/protocol.ts";
import { GrpcCode, type GrpcStatus } from "./grpc-status.ts";

/** Takes one message without its prefix and returns another. Throws a Rejection. */
export type Rewrite = (message: Uint8Array) => Uint8Array;

/** How the messages of a call are rewritten; none: they pass unopened. */
export interface Rewriter {
  readonly request?: Rewrite | undefined;
  readonly response?: Rewrite | undefined;
}

/** A message that cannot pass; the call ends with this status. */
export class Rejection extends Error {
  override name = "Rejection";
  readonly code: number;

  constructor({ code, message }: GrpcStatus) {
    super(message);
    this.code = code;
  }
}

const PREFIX_BYTES = 5;

export class MessagePipe {
  readonly #rewrite: Rewrite;
  readonly #encoding: string;
  readonly #maxBytes: number;
  /** Bytes that do not end a message yet. */
  readonly #held = new ByteQueue();
  /** Bytes of the message that they begin, with its prefix; 0 while the prefix is incomplete. */
  #wanted = 0;

  /** `encoding`: the grpc-encoding of the direction. `maxBytes`: of a message once it is decompressed. */
  constructor(rewrite: Rewrite, encoding: string | undefined, maxBytes: number) {
    this.#rewrite = rewrite;
    this.#encoding = encoding ?? "identity";
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a message that is not complete. */
  get heldBytes(): number {
    return this.#held.bytes;
  }

  /**
   * Takes the next bytes and returns the messages that they complete, rewritten, each with
   * its prefix.
   *
   * @throws {Rejection} if a message cannot be rewritten.
   */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    const held = this.#held;
    if (chunk.length > 0) held.push(chunk);
    if (this.#wanted === 0 && held.bytes >= PREFIX_BYTES)
      this.#wanted = framedBytes(held.peek(PREFIX_BYTES), 0);
    return this.#wanted === 0 || held.bytes < this.#wanted ? NONE : this.#takeMessages();
  }

  /** There is at least one message. */
  #takeMessages(): readonly Uint8Array[] {
    const rewritten: Uint8Array[] = [];
    const all = this.#held.takeAll();
    let at = 0;
    while (this.#wanted > 0 && at + this.#wanted <= all.length) {
      rewritten.push(this.#rewriteFramed(all.subarray(at, at + this.#wanted)));
      at += this.#wanted;
      this.#wanted = at + PREFIX_BYTES <= all.length ? framedBytes(all, at) : 0;
    }
    if (at < all.length) this.#held.push(all.subarray(at));
    return rewritten;
  }

  #rewriteFramed(framed: Uint8Array): Uint8Array {
    const payload = framed.subarray(PREFIX_BYTES);
    const message = framed[0] === 0 ? payload : this.#decompress(payload);
    const rewritten = this.#rewrite(message);
    if (rewritten === payload) return framed;

    // A message may always be sent uncompressed, whatever grpc-encoding says.
    const result = new Uint8Array(PREFIX_BYTES + rewritten.length);
    new DataView(result.buffer).setUint32(1, rewritten.length);
    result.set(rewritten, PREFIX_BYTES);
    return result;
  }

  #decompress(payload: Uint8Array): Uint8Array {
    const decompress = { gzip: gunzipSync, deflate: inflateSync }[this.#encoding];
    if (decompress === undefined) {
      const message = `grpc: Decompressor is not installed for grpc-encoding "${this.#encoding}"`;
      throw new Rejection({ code: GrpcCode.UNIMPLEMENTED, message });
    }
    try {
      return decompress(payload, { maxOutputLength: Math.min(this.#maxBytes, MAX_OUTPUT_BYTES) });
    } catch (error) {
      const message = `grpc: failed to decompress the message: ${(error as Error).message}`;
      throw new Rejection({ code: GrpcCode.INTERNAL, message });
    }
  }
}

/** Returns the size of the message whose prefix is at `at`, with the prefix. */
function framedBytes(bytes: Uint8Array, at: number): number {
  return PREFIX_BYTES + readUint32(bytes, at + 1);
}

const NONE: readonly Uint8Array[] = [];

// What zlib takes at most for its limit.
const MAX_OUTPUT_BYTES = 2 ** 31 - 1;
