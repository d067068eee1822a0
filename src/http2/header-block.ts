// Assembles a header block from HEADERS and CONTINUATION (RFC 9113, sections 6.2 and 6.10).
import type { FrameHeader } from "./frame-reader.ts";
import { ConnectionError, ErrorCode, Flag, FrameType, readUint32 } from "./protocol.ts";

// The encoded form is shorter than the list, which is limited too.
const MAX_BLOCK_BYTES = 256 * 1024;

export class HeaderBlock {
  /** The stream of the block that is being assembled; 0: none is. */
  streamId = 0;
  isEnd = false;
  /** Undefined: the block has no fragment yet that is not its last. */
  #fragments: Uint8Array[] | undefined;
  #bytes = 0;

  /** Bytes of a block that is not complete. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /**
   * Adds a HEADERS or CONTINUATION frame. Returns the block if it is complete; it may be a
   * view of `payload`.
   *
   * @throws {ConnectionError} for a frame that must not stand here, or a block that is too large.
   */
  add(header: FrameHeader, payload: Uint8Array): Uint8Array | undefined {
    const { type, flags, streamId } = header;
    let fragment = payload;
    if (type === FrameType.HEADERS) {
      this.streamId = streamId;
      this.isEnd = (flags & Flag.END_STREAM) !== 0;
      fragment = fragmentOf(header, payload);
    }

    const isComplete = (flags & Flag.END_HEADERS) !== 0;
    if (isComplete && this.#fragments === undefined) return fragment;

    this.#bytes += fragment.length;
    if (this.#bytes > MAX_BLOCK_BYTES)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "header block is too large");
    (this.#fragments ??= []).push(fragment.slice());
    return isComplete ? this.#join() : undefined;
  }

  /** The block was handled; the next HEADERS may follow. */
  end(): void {
    this.streamId = 0;
    this.#fragments = undefined;
    this.#bytes = 0;
  }

  #join(): Uint8Array {
    const block = new Uint8Array(this.#bytes);
    let at = 0;
    for (const fragment of this.#fragments!) {
      block.set(fragment, at);
      at += fragment.length;
    }
    return block;
  }
}

/** Returns the payload of a HEADERS frame without padding and priority. */
function fragmentOf({ flags, streamId }: FrameHeader, payload: Uint8Array): Uint8Array {
  if ((flags & (Flag.PADDED | Flag.PRIORITY)) === 0) return payload;
  let start = 0;
  let end = payload.length;
  if ((flags & Flag.PADDED) !== 0) {
    start = 1;
    end -= payload[0] ?? 0;
  }
  if ((flags & Flag.PRIORITY) !== 0) {
    // The rest of the priority is obsolete (RFC 9113, section 5.3.2).
    if (end - start >= 5 && (readUint32(payload, start) & 0x7fff_ffff) === streamId)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself");
    start += 5;
  }
  if (start > end)
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "HEADERS is shorter than its padding");
  return payload.subarray(start, end);
}
