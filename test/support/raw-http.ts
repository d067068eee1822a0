// A client that writes bytes and records what comes back: for requests that no HTTP library
// sends, and for the moments at which the parts of an answer arrive.
import net from "node:net";
import { until } from "./peer.ts";

export class RawHttp {
  received = "";
  /** "end" after a FIN, an error's code after a reset; undefined while open. */
  outcome: string | undefined;
  readonly #socket: net.Socket;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => (this.received += text));
    socket.on("end", () => (this.outcome ??= "end"));
    socket.on("error", (error: Error & { code?: string }) => (this.outcome ??= error.code));
    socket.on("close", () => (this.outcome ??= "end"));
  }

  /** Connects to `127.0.0.1:port`. */
  static async connect(address: string): Promise<RawHttp> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const [host, port] = address.split(":") as [string, string];
    const socket = net.connect({ host, port: Number(port), allowHalfOpen: true }, resolve);
    socket.once("error", reject);
    const client = new RawHttp(socket);
    await promise;
    return client;
  }

  /** Sends bytes, connects, and resolves with what came back until the connection closed. */
  static async exchange(address: string, text: string): Promise<RawHttp> {
    const client = await RawHttp.connect(address);
    client.send(text);
    await client.closed();
    return client;
  }

  send(bytes: string | Uint8Array): void {
    if (typeof bytes === "string") this.#socket.write(bytes, "latin1");
    else this.#socket.write(bytes);
  }

  /** Sends the head of a request, with a Host header, and its body. */
  request(head: string, { headers = [] as string[], body = "" } = {}): void {
    const lines = [`${head} HTTP/1.1`, "Host: h", ...headers];
    if (body !== "") lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
    this.send(`${lines.join("\r\n")}\r\n\r\n${body}`);
  }

  /** Sends a FIN. */
  halfClose(): void {
    this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Resolves once `text` has arrived. */
  async got(text: string, timeoutMs?: number): Promise<void> {
    await until(
      () => this.received.includes(text),
      `"${text}" arrived, instead of ${JSON.stringify(this.received.slice(0, 500))}`,
      timeoutMs,
    );
  }

  /** Resolves once the peer has closed. */
  async closed(timeoutMs?: number): Promise<string> {
    await until(() => this.outcome !== undefined, "the connection closed", timeoutMs);
    this.close();
    return this.outcome!;
  }

  get status(): number {
    return Number(/^HTTP\/1\.[01] (\d+)/.exec(this.received)?.[1]);
  }

  get body(): string {
    return this.received.slice(this.received.indexOf("\r\n\r\n") + 4);
  }

  /** Sends a RST. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }
}
