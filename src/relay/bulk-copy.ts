// Bulk, moved past Bun. Bun reads up to 512 KiB at a time, and what the sink does
// not take of that would be held. So where much is coming a flow moves it by
// itself: what the sink does not take stays in the source's kernel.
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";

/** What makes so much of a chunk that more is likely to be there. */
export const BULK_BYTES = 16 * 1024;

// Small enough for the processor's cache.
export const PORTION_BYTES = 128 * 1024;
// Then others have their turn.
const MAX_PORTIONS = 8;
// Reads and writes are synchronous: one buffer serves all flows.
const portion = new Uint8Array(PORTION_BYTES);

/** `ready`: all has been moved, or the turn is over. */
export type MoveEnd = "ready" | "sink full" | "sink dead";

/** Moves what has arrived at the source, and adds to `count` what the sink's kernel took. */
export function copyBulk(
  source: Pick<TcpSocket, "fd">,
  sink: Pick<TcpSocket, "write">,
  system: Pick<TcpSystem, "peek" | "skip">,
  count: { deliveredBytes: number },
): MoveEnd {
  for (let i = 0; i < MAX_PORTIONS; i++) {
    const length = system.peek(source.fd, portion);
    if (length === 0) break;
    const written = sink.write(portion.subarray(0, length));
    if (written < 0) return "sink dead";
    system.skip(source.fd, portion, written);
    count.deliveredBytes += written;
    if (written < length) return "sink full";
  }
  return "ready";
}
