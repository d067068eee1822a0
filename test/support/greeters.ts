// Servers that say who they are and end, and a client that listens to them:
// which address a gateway chose, seen from outside.
import { freePort } from "./free-port.ts";
import type { Closers } from "./gateway-command.ts";

/** Servers on one port of several loopback addresses; each says its address and ends. */
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

/** All that a server says to a new client before it ends. */
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

/** How often each server greeted, of so many clients one after the other. */
export async function shares(port: number, clients: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < clients; i++) {
    const name = await greeting(port);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
