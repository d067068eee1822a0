import { readdirSync } from "node:fs";
import { libc } from "./libc.ts";

const RLIMIT_NOFILE = 7;

/**
 * Raises the soft limit of open descriptors to the hard one, as Go programs
 * do, and returns what is in force.
 */
export function raiseDescriptorLimit(): number {
  const limit = new BigUint64Array(2); // soft, hard
  libc.getrlimit(RLIMIT_NOFILE, limit);
  if (limit[0]! < limit[1]!) {
    const raised = new BigUint64Array([limit[1]!, limit[1]!]);
    if (libc.setrlimit(RLIMIT_NOFILE, raised) === 0) limit[0] = raised[0]!;
  }
  return Number(limit[0]);
}

/** What the system says of this process at this moment. */
export function processFigures() {
  const { user, system } = process.cpuUsage(); // microseconds
  return {
    startTimeSeconds: performance.timeOrigin / 1000,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    // Less the one that the listing takes.
    openDescriptors: readdirSync("/proc/self/fd").length - 1,
  };
}
