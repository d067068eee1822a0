import { readdirSync, statSync } from "node:fs";
import { abi, isDarwin } from "./abi.ts";
import { libc } from "./libc.ts";

// macOS calls its hard limit unlimited and refuses more than OPEN_MAX of sys/syslimits.h.
const DARWIN_OPEN_MAX = 10_240n;

/**
 * Raises the soft limit of open descriptors to the hard one, as Go programs
 * do, and returns what is in force.
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

/** What the system says of this process at this moment. */
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
  // Linux 6.2 and later count them by themselves, whatever their number.
  const { size } = statSync(abi.DESCRIPTORS);
  // Less the one that the listing takes.
  return size > 0 && !isDarwin ? size : readdirSync(abi.DESCRIPTORS).length - 1;
}

/** Soft and hard. */
function descriptorLimits(): BigUint64Array {
  const limits = new BigUint64Array(2);
  libc.getrlimit(abi.RLIMIT_NOFILE, limits);
  return limits;
}
