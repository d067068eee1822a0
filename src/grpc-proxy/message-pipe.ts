// Assembles the messages of one direction of a call and rewrites each: for the namespace,
// and for the member list. A call whose messages pass unopened has none.
import { gunzipSync, inflateSync } from "node:zlib";
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
  /** Chunks that do not end a message yet. */
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes of the message that the chunks begin, with its prefix; 0 while the prefix is incomplete. */
  #wanted = 0;

  /** `encoding`: the grpc-encoding of the direction. `maxBytes`: of a message once it is decompressed. */
  constructor(rewrite: Rewrite, encoding: string | undefined, maxBytes: number) {
    this.#rewrite = rewrite;
    this.#encoding = encoding ?? "identity";
    this.#maxBytes = maxBytes;
  }

  /** Whether the bytes so far end with a whole message. */
  get isComplete(): boolean {
    return this.#bytes === 0;
  }

  /**
   * Takes the next bytes and returns the messages that they complete, rewritten, each with
   * its prefix.
   *
   * @throws {Rejection} if a message cannot be rewritten.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const rewritten: Uint8Array[] = [];
    this.#append(chunk);
    while (this.#bytes >= Math.max(PREFIX_BYTES, this.#wanted)) {
      if (this.#wanted === 0) {
        const [first] = this.#chunks;
        const head = first!.length >= PREFIX_BYTES ? first! : this.#join();
        const length = head[1]! * 2 ** 24 + (head[2]! << 16) + (head[3]! << 8) + head[4]!;
        this.#wanted = PREFIX_BYTES + length;
        continue;
      }

      const all = this.#join();
      rewritten.push(this.#rewriteFramed(all.subarray(0, this.#wanted)));
      const rest = all.subarray(this.#wanted);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#bytes = rest.length;
      this.#wanted = 0;
    }
    return rewritten;
  }

  #append(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  #join(): Uint8Array {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
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

// What zlib takes at most for its limit.
const MAX_OUTPUT_BYTES = 2 ** 31 - 1;
