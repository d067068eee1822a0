// The pipe or terminal of a standard stream, opened once more. Other programs
// share the inherited open file description, so its flags are never changed.
import { closeSync, constants, fstatSync, openSync } from "node:fs";

/**
 * Opens what `fd` refers to as a non-blocking description of our own, which the
 * caller closes. Undefined for anything but a pipe or character device, and
 * where the system refuses, as /proc does without permission and macOS always.
 */
export function reopenNonBlocking(fd: number): number | undefined {
  try {
    const stat = fstatSync(fd);
    // A regular file must keep its offset, which belongs to the description.
    if (process.platform !== "linux" || !(stat.isFIFO() || stat.isCharacterDevice()))
      return undefined;
    // Without O_NOCTTY a terminal could become the controlling one.
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    return openSync(`/proc/self/fd/${fd}`, flags);
  } catch {
    return undefined;
  }
}

/** Closes what `reopenNonBlocking` has returned. */
export function closeDescription(fd: number | undefined): void {
  if (fd !== undefined) closeSync(fd);
}
