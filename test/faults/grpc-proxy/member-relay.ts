// Stands between the proxies and a member, to reset their connections. Bytes pass unchanged.
import net from "node:net";

const CLIENT_PORT = 2379;

export class MemberRelay {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(host: string) {
    this.#server = net.createServer((proxy) => {
      const member = net.connect(CLIENT_PORT, host);
      for (const [one, other] of [
        [proxy, member],
        [member, proxy],
      ] as const) {
        this.#sockets.add(one);
        one.on("error", () => {});
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  }

  static async start(host: string): Promise<MemberRelay> {
    const relay = new MemberRelay(host);
    const { promise, resolve } = Promise.withResolvers<void>();
    relay.#server.listen(0, "127.0.0.1", resolve);
    await promise;
    return relay;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  resetAll(): void {
    for (const socket of [...this.#sockets]) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.resetAll();
    this.#server.close();
  }
}
