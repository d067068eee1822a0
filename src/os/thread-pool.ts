// The threads on which Bun reads files and calls getaddrinfo.
import { cString, libc } from "./libc.ts";

// Bun's default is one thread for each CPU, but at least 2. A hanging mount may occupy 8
// threads for files (os/files.ts) and 1 for the log (os/log-stream.ts).
const THREADS = 24;

/**
 * Enlarges the pool, so that hanging threads leave some for everything else, and returns
 * its size. Takes effect only before the pool's first use. Threads start on demand.
 */
export function enlargeThreadPool(): number {
  libc.setenv(cString("UV_THREADPOOL_SIZE"), cString(String(THREADS)), 1);
  return THREADS;
}
