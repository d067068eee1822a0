// Ports for programs that cannot be told to choose their own.

/**
 * Ports of 127.0.0.1 that were free a moment ago, all different. Another
 * program may take one before it is used: whoever asks must be ready to ask again.
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
