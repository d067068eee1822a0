// Runs a program for which the kernel refuses one system call, by a seccomp
// filter: a machine without IPv6 or without a socket option, in any container.
// Arguments: a RefusedCall in JSON, then the program's own words.
// It runs as a process of its own, since a filter cannot be taken away.
import { dlopen, ptr } from "bun:ffi";
import { constants } from "node:os";

/** Calls of `name` whose arguments, by index, have these values fail with `error`. */
export interface RefusedCall {
  readonly name: "socket" | "setsockopt";
  readonly arguments: Readonly<Record<number, number>>;
  readonly error: "EAFNOSUPPORT" | "ENOPROTOOPT";
}

/** The words that run what follows them with `call` refused. */
export function refusing(call: RefusedCall): string[] {
  return [process.execPath, import.meta.path, JSON.stringify(call)];
}

/** As on a kernel with ipv6.disable=1. */
export const NO_IPV6: RefusedCall = {
  name: "socket",
  arguments: { 0: 10 }, // AF_INET6
  error: "EAFNOSUPPORT",
};

const NUMBERS =
  process.arch === "arm64" ? { socket: 198, setsockopt: 208 } : { socket: 41, setsockopt: 54 };

const BPF_LD_W_ABS = 0x20;
const BPF_JMP_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
// Offsets in struct seccomp_data.
const NUMBER_AT = 0;
const ARGUMENTS_AT = 16;

/** struct sock_filter. */
function instruction(code: number, constant: number, ifTrue = 0, ifFalse = 0): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes[2] = ifTrue;
  bytes[3] = ifFalse;
  bytes.writeUInt32LE(constant, 4);
  return bytes;
}

function filterOf(call: RefusedCall): Buffer {
  const wanted = [
    [NUMBER_AT, NUMBERS[call.name]],
    ...Object.entries(call.arguments).map(([i, value]) => [ARGUMENTS_AT + 8 * Number(i), value]),
  ] as [at: number, value: number][];
  // What does not match goes to the last instruction.
  const tests = wanted.flatMap(([at, value], i) => [
    instruction(BPF_LD_W_ABS, at),
    instruction(BPF_JMP_JEQ_K, value, 0, 2 * (wanted.length - i - 1) + 1),
  ]);
  return Buffer.concat([
    ...tests,
    instruction(BPF_RET_K, SECCOMP_RET_ERRNO | constants.errno[call.error]),
    instruction(BPF_RET_K, SECCOMP_RET_ALLOW),
  ]);
}

if (import.meta.main) {
  const PR_SET_NO_NEW_PRIVS = 38;
  const PR_SET_SECCOMP = 22;
  const SECCOMP_MODE_FILTER = 2n;
  const libc = dlopen("libc.so.6", {
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    execv: { args: ["ptr", "ptr"], returns: "i32" },
  }).symbols;
  const [call, ...words] = process.argv.slice(2);
  const filter = filterOf(JSON.parse(call!) as RefusedCall);
  const program = Buffer.alloc(16); // struct sock_fprog
  program.writeUInt16LE(filter.length / 8, 0);
  program.writeBigUInt64LE(BigInt(ptr(filter)), 8);
  if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) !== 0)
    throw new Error("prctl(PR_SET_NO_NEW_PRIVS) failed");
  if (libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BigInt(ptr(program)), 0n, 0n) !== 0)
    throw new Error("prctl(PR_SET_SECCOMP) failed");
  const texts = words.map((word) => Buffer.from(`${word}\0`));
  const argv = BigUint64Array.from([...texts.map((text) => BigInt(ptr(text))), 0n]);
  libc.execv(texts[0]!, argv);
  throw new Error(`execv of ${words[0]} failed`);
}
