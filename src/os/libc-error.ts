// The error for a C library that cannot be called. It has its own file because the
// import of os/libc.ts throws it.

/** Bun cannot call the C library, so nothing can run. The message is for the user. */
export class LibcError extends Error {
  override name = "LibcError";
}
