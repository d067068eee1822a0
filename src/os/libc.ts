// The C library, for what Bun's API lacks: a connect that can be aborted and reports its
// real error, socket options, resource limits, Unix datagrams.
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
  // Linux only: macOS on arm64 passes variadic arguments on the stack.
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  // macOS only. On arm64 the variadic argument must follow eight that fill the registers.
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
  // Its name differs between systems, its signature does not.
  [abi.ERRNO_LOCATION as "errnoLocation"]: { args: [], returns: "ptr" },
} as const;

/**
 * The functions of libc. Arguments of type `ptr` take a typed array. The import of this
 * file throws a LibcError if Bun cannot call them.
 */
export const libc = openLibc();

// If dlopen cannot find a bare name, Bun tries it as a path in the working folder. These
// names are always found: dlopen resolves the soname of a loaded library without a
// file search, and musl's dlopen takes every "libc." name for itself.
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

/** Returns the address of a typed array's memory, for a C structure that points to it. */
export { ptr };

// Some numbers have two names. EWOULDBLOCK is EAGAIN's second one, which nothing here expects.
const errnoNames = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => name !== "EWOULDBLOCK")
    .map(([name, number]) => [number, name]),
);

/**
 * Returns the errno name of the last failed call, such as `EMFILE`. Call it right after the
 * failure: any other call may change it.
 */
export function lastError(): string {
  const number = read.i32(errnoLocation()!, 0);
  return errnoNames.get(number) ?? `errno ${number}`;
}

/** Encodes text as a C string: UTF-8 that ends with a zero byte. */
export function cString(text: string): Uint8Array {
  return Buffer.from(`${text}\0`);
}

/** A system call failed. `code` is the errno's name. */
export class SystemCallError extends Error {
  override name = "SystemCallError";
  constructor(
    readonly call: string,
    readonly code: string,
  ) {
    super(`${call}: ${code}`);
  }
}
