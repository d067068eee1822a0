// The C library, for what Bun's API lacks: a connect that can be aborted and
// tells its real error, socket options, resource limits, Unix datagrams.
import { dlopen, ptr, read } from "bun:ffi";
import { constants } from "node:os";
import { abi } from "./abi.ts";
import { LibcError } from "./libc-error.ts";

const SYMBOLS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  dup: { args: ["i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  signal: { args: ["i32", "u64"], returns: "u64" },
  setenv: { args: ["ptr", "ptr", "i32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  // On Linux alone: macOS takes a variadic argument elsewhere.
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  // On macOS alone, which on arm64 wants it behind what fills the eight registers.
  fcntl: {
    args: ["i32", "i32", "u64", "u64", "u64", "u64", "u64", "u64", "u64"],
    returns: "i32",
  },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  inet_pton: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  if_nametoindex: { args: ["ptr"], returns: "u32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  getrlimit: { args: ["i32", "ptr"], returns: "i32" },
  setrlimit: { args: ["i32", "ptr"], returns: "i32" },
  // It has the same signature by whatever name.
  [abi.ERRNO_LOCATION as "errnoLocation"]: { args: [], returns: "ptr" },
} as const;

/**
 * libc's functions. Arguments of type `ptr` take a typed array. Importing this
 * file throws a LibcError where Bun cannot call them.
 */
export const libc = openLibc();

// A bare name that fails would make Bun try it as a path in the working folder.
// These cannot fail to be found: a C library that is loaded already answers to
// its soname without looking for a file, and musl's dlopen takes every "libc." for itself.
function openLibc() {
  try {
    return dlopen(abi.LIBRARY, SYMBOLS).symbols;
  } catch (error) {
    throw new LibcError(
      `Cannot call the C library "${abi.LIBRARY}": ${(error as Error).message}; memory that is both writable and executable is needed: set MemoryDenyWriteExecute=no in the unit, and do not limit the address space (ulimit -v, LimitAS=)`,
      { cause: error },
    );
  }
}

const errnoLocation = libc[abi.ERRNO_LOCATION as "errnoLocation"];

/** The address of an array's memory, for a C structure that points to it. */
export { ptr };

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** The name of the last failed call's error, such as `EMFILE`. Ask at once: any call may change it. */
export function lastError(): string {
  const number = read.i32(errnoLocation()!, 0);
  return errnoNames.get(number) ?? `errno ${number}`;
}

/** Text as C wants it: UTF-8 with a zero behind. */
export function cString(text: string): Uint8Array {
  return Buffer.from(`${text}\0`);
}

/** A system call that failed; `code` is the errno's name. */
export class SystemCallError extends Error {
  override name = "SystemCallError";
  constructor(
    readonly call: string,
    readonly code: string,
  ) {
    super(`${call}: ${code}`);
  }
}
