// Copies bulk data past Bun's reads. Bun reads up to 512 KiB at a time, and a
// flow must buffer what the sink does not take of that. copyBulk() instead
// leaves it in the source's kernel.
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";

/** Size of a chunk from which on more data is likely to be waiting. */
export const BULK_BYTES = 16 * 1024;

/** Size of the copy buffer: small enough for the processor's cache. */
export const COPY_BUFFER_BYTES = 128 * 1024;

// Reads before other events get their turn.
const MAX_READS = 8;

// Reads and writes are synchronous: one buffer serves all flows.
const buffer = new Uint8Array(COPY_BUFFER_BYTES);

/** `ready`: everything was moved, or the turn is over. */
export type CopyResult = "ready" | "sink full" | "sink dead";

/** Moves what has arrived at `source` to `sink`, and adds the bytes moved to `count`. */
export function copyBulk(
  source: Pick<TcpSocket, "fd">,
  sink: Pick<TcpSocket, "write">,
  system: Pick<TcpSystem, "peek" | "skip">,
  count: { deliveredBytes: number },
): CopyResult {
  for (let i = 0; i < MAX_READS; i++) {
    const length = system.peek(source.fd, buffer);
    if (length === 0) break;

    const written = sink.write(buffer.subarray(0, length));
    if (written < 0) return "sink dead";

    system.skip(source.fd, buffer, written);
    count.deliveredBytes += written;
    if (written < length) return "sink full";
  }

  return "ready";
}
