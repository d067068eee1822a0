// SETTINGS (RFC 9113, section 6.5): encodes ours, and checks and stores the peer's.
import {
  ConnectionError,
  ErrorCode,
  INITIAL_WINDOW_BYTES,
  MAX_31_BITS,
  readUint32,
  Setting,
  writeUint32,
} from "./protocol.ts";

const SETTING_BYTES = 6;

/** Returns the payload of a SETTINGS frame. */
export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]) {
  const payload = new Uint8Array(settings.length * SETTING_BYTES);
  for (const [i, [id, value]] of settings.entries()) {
    payload[i * SETTING_BYTES + 1] = id;
    writeUint32(payload, i * SETTING_BYTES + 2, value);
  }
  return payload;
}

/** The peer's settings that concern us. The initial values are those of the RFC. */
export class PeerSettings {
  /** Largest dynamic table that the peer's decoder has, in bytes. */
  headerTableBytes = 4096;
  /** The smallest that the last frame named, which may name several. */
  smallestTableBytes = 4096;
  /** Streams that we may have open at the same time. */
  maxConcurrentStreams = Number.POSITIVE_INFINITY;
  initialWindowBytes = INITIAL_WINDOW_BYTES;
  /** Header lists that are larger are refused by the peer. */
  maxHeaderListBytes = Number.POSITIVE_INFINITY;

  /**
   * Applies the payload of a SETTINGS frame.
   *
   * @throws {ConnectionError} for a value that is out of range.
   */
  apply(payload: Uint8Array): void {
    if (payload.length % SETTING_BYTES !== 0)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS has a wrong length");
    this.smallestTableBytes = Number.POSITIVE_INFINITY;
    for (let at = 0; at < payload.length; at += SETTING_BYTES)
      this.#set((payload[at]! << 8) | payload[at + 1]!, readUint32(payload, at + 2));
  }

  #set(id: number, value: number): void {
    if (id === Setting.HEADER_TABLE_SIZE) {
      this.headerTableBytes = value;
      this.smallestTableBytes = Math.min(this.smallestTableBytes, value);
    }
    if (id === Setting.MAX_CONCURRENT_STREAMS) this.maxConcurrentStreams = value;
    else if (id === Setting.MAX_HEADER_LIST_SIZE) this.maxHeaderListBytes = value;
    else if (id === Setting.INITIAL_WINDOW_SIZE) {
      if (value > MAX_31_BITS)
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "initial window is too large");
      this.initialWindowBytes = value;
    } else if (id === Setting.ENABLE_PUSH && value > 1)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is not 0 or 1");
    else if (id === Setting.MAX_FRAME_SIZE && (value < 16_384 || value > 0xff_ffff))
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of range");
  }
}
