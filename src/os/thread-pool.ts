// The threads on which Bun reads files and looks up names by getaddrinfo.
import { cString, libc } from "./libc.ts";

// Bun's own choice is one for each CPU, at least 2. Here a hanging mount may hold
// 8 for files (os/files.ts) and 1 for the log (os/log-stream.ts).
const THREADS = 24;

/**
 * Makes the pool large enough for threads that hang to leave some for everything
 * else, and returns its size. Takes effect only before the pool's first use; threads
 * start when they are needed.
 */
export function enlargeThreadPool(): number {
  libc.setenv(cString("UV_THREADPOOL_SIZE"), cString(String(THREADS)), 1);
  return THREADS;
}
