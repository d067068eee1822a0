// Reopens the pipe or terminal of a standard stream as non-blocking. Other programs
// share the inherited open file description, so its flags must not change.
import { closeSync, constants, fstatSync, openSync } from "node:fs";

/**
 * Reopens the pipe or character device of `fd` with a non-blocking description of our
 * own. The caller closes the descriptor. Returns undefined for other kinds of files, if
 * /proc denies permission, and on macOS.
 */
export function reopenNonBlocking(fd: number): number | undefined {
  try {
    const stat = fstatSync(fd);
    // A regular file must keep its offset, which is part of the shared description.
    if (process.platform !== "linux" || !(stat.isFIFO() || stat.isCharacterDevice()))
      return undefined;
    // Without O_NOCTTY, a terminal could become the controlling terminal.
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    return openSync(`/proc/self/fd/${fd}`, flags);
  } catch {
    return undefined;
  }
}

/** Closes a descriptor that `reopenNonBlocking` returned. */
export function closeDescription(fd: number | undefined): void {
  if (fd !== undefined) closeSync(fd);
}
