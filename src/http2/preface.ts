// How a connection begins (RFC 9113, section 3.4): what we send first, and the check of what
// a client sends first.
import { MAX_HEADER_LIST_BYTES } from "./frame-dispatcher.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { ConnectionError, ErrorCode, FrameType, PREFACE, Setting } from "./protocol.ts";
import { encodeSettings } from "./settings.ts";
import type { Role } from "./stream-table.ts";

/** Writes our preface. `maxConcurrentStreams` is a server's. */
export function writePreface(writer: FrameWriter, role: Role, maxConcurrentStreams: number): void {
  if (role === "client") {
    writer.reserve(PREFACE.length);
    writer.buffer.set(PREFACE, writer.end);
    writer.end += PREFACE.length;
  }
  const own: readonly [number, number] =
    role === "client"
      ? [Setting.ENABLE_PUSH, 0]
      : [Setting.MAX_CONCURRENT_STREAMS, maxConcurrentStreams];
  const settings = encodeSettings([own, [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_BYTES]]);
  writer.frame(FrameType.SETTINGS, 0, 0, settings);
}

/** Compares the first bytes of a client with the preface. */
export class PrefaceCheck {
  #missing = PREFACE.length;

  get isDone(): boolean {
    return this.#missing === 0;
  }

  /**
   * Takes the next bytes, and returns those after the preface.
   *
   * @throws {ConnectionError} if they differ from it.
   */
  push(chunk: Uint8Array): Uint8Array {
    const start = PREFACE.length - this.#missing;
    const bytes = Math.min(this.#missing, chunk.length);
    for (let i = 0; i < bytes; i++)
      if (chunk[i] !== PREFACE[start + i])
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "no HTTP/2 preface");
    this.#missing -= bytes;
    return chunk.subarray(bytes);
  }
}
