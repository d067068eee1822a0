// Becomes the program in its arguments, without the right to memory that is
// writable and executable, as systemd's MemoryDenyWriteExecute= takes it away.
// Ends with 77 where the kernel has no such setting (before Linux 6.3).
import { dlopen, ptr } from "bun:ffi";

const PR_SET_MDWE = 65;
const PR_MDWE_REFUSE_EXEC_GAIN = 1n;

const { symbols: libc } = dlopen("libc.so.6", {
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  execv: { args: ["ptr", "ptr"], returns: "i32" },
});

const words = process.argv.slice(2).map((word) => Buffer.from(`${word}\0`));
const pointers = new BigUint64Array([...words.map((word) => BigInt(ptr(word))), 0n]);
if (libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0n, 0n, 0n) !== 0) process.exit(77);
libc.execv(words[0]!, pointers);
process.exit(1);
