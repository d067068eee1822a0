// The ports from which the kernel takes the source port of a connection. It does not
// choose one.
import { readFileSync } from "node:fs";

const RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range";

/** The lowest and the highest port. */
let range: readonly [number, number] | undefined;

/**
 * Reports whether the kernel may take `port` as the source port of a connection; true if
 * the range is not known, as on macOS. The range is read once: a later change of
 * net.ipv4.ip_local_port_range is not seen.
 *
 * @see ip(7) on ip_local_port_range, which IPv6 uses too
 */
export function mayBeSourcePort(port: number): boolean {
  range ??= readRange();
  return port >= range[0] && port <= range[1];
}

function readRange(): readonly [number, number] {
  const all = [1, 65_535] as const;
  try {
    const [, lowest, highest] = /^(\d+)\s+(\d+)/.exec(readFileSync(RANGE_FILE, "utf8")) ?? [];
    return highest === undefined ? all : [Number(lowest), Number(highest)];
  } catch {
    return all; // no such file, or no permission
  }
}
