// Free ports, for programs that cannot choose their own.

/**
 * Returns distinct free ports of 127.0.0.1. Another process may take one before it is
 * used, so callers must be ready to retry.
 */
export function freePorts(count: number): number[] {
  const held = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }),
  );
  for (const listener of held) listener.stop();
  return held.map(({ port }) => port);
}

export function freePort(): number {
  return freePorts(1)[0]!;
}
