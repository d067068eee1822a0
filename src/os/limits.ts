// The descriptor limit and the resource usage of the process.
import { readdirSync, statSync } from "node:fs";
import { abi, isDarwin } from "./abi.ts";
import { libc } from "./libc.ts";

// macOS reports an unlimited hard limit, but refuses more than OPEN_MAX of sys/syslimits.h.
const DARWIN_OPEN_MAX = 10_240n;

/**
 * Raises the soft limit of open descriptors to the hard limit, as Go programs do, and
 * returns the limit that is then in force.
 */
export function raiseDescriptorLimit(): number {
  const limit = descriptorLimits();
  const highest = isDarwin && limit[1]! > DARWIN_OPEN_MAX ? DARWIN_OPEN_MAX : limit[1]!;
  if (limit[0]! < highest) {
    const raised = new BigUint64Array([highest, limit[1]!]);
    if (libc.setrlimit(abi.RLIMIT_NOFILE, raised) === 0) limit[0] = highest;
  }
  return Number(limit[0]);
}

/** Returns the current resource usage of the process. */
export function processStats() {
  const { user, system } = process.cpuUsage(); // microseconds
  return {
    startTimeSeconds: performance.timeOrigin / 1000,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    openDescriptors: openDescriptors(),
    maxDescriptors: Number(descriptorLimits()[0]),
  };
}

function openDescriptors(): number {
  // Linux 6.2 and later report the number as the folder's size.
  const { size } = statSync(abi.DESCRIPTORS);
  // The listing itself opens one.
  return size > 0 && !isDarwin ? size : readdirSync(abi.DESCRIPTORS).length - 1;
}

/** Returns the soft and the hard limit. */
function descriptorLimits(): BigUint64Array {
  const limits = new BigUint64Array(2);
  libc.getrlimit(abi.RLIMIT_NOFILE, limits);
  return limits;
}
