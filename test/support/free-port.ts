// Free ports, for programs that cannot choose their own.

// Linux gives 32768 to 60999 to sockets without a port (ip_local_port_range). A port
// from below is not given to the server that a test starts next.
const LOWEST_PORT = 10_000;
const HIGHEST_PORT = 32_767;

const returned = new Set<number>();

/**
 * Returns distinct free ports of 127.0.0.1. Another process may take one before it is
 * used, so callers must be ready to retry.
 */
export function freePorts(count: number): number[] {
  return Array.from({ length: count }, freePort);
}

/** Returns a free port that this process has not returned before. */
export function freePort(): number {
  for (;;) {
    const size = HIGHEST_PORT - LOWEST_PORT + 1;
    const port = LOWEST_PORT + Math.floor(Math.random() * size);
    if (returned.has(port) || !isFree(port)) continue;
    returned.add(port);
    return port;
  }
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop();
    return true;
  } catch {
    return false;
  }
}
