// The failure to call the C library at all. A file of its own, since importing
// os/libc.ts is what fails.

/** The message is complete and for the user; nothing can run without the C library. */
export class LibcError extends Error {
  override name = "LibcError";
}
