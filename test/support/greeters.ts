// Servers that send their address and close, and clients that read it, to see which
// endpoint a gateway picks.
import { freePort } from "./free-port.ts";
import type { Closers } from "./gateway-command.ts";

/** Starts servers on one port of several loopback addresses; returns the port. */
export function greetersOn(closers: Closers, ...addresses: string[]): number {
  for (let attempt = 1; ; attempt++) {
    const port = freePort();
    try {
      for (const hostname of addresses) {
        const listener = Bun.listen({
          hostname,
          port,
          socket: {
            open(socket) {
              socket.write(hostname);
              socket.shutdown();
            },
            data() {},
          },
        });
        closers.defer(() => listener.stop(true));
      }
      return port;
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** Connects, and resolves with everything received until the FIN. */
export async function greeting(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, chunk) {
        text += chunk;
      },
      close(_, error) {
        if (error) reject(error);
        else resolve(text);
      },
    },
  });
  return await promise;
}

/** Connects `clients` clients one after the other; returns the number that each server greeted. */
export async function shares(port: number, clients: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < clients; i++) {
    const name = await greeting(port);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
