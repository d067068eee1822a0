// Many clients of a proxy in a process of their own, so that they do not slow down the
// measurement: crowd-program.ts.

export interface CrowdSize {
  readonly connections: number;
  /** Streams of each connection, with one watch each. */
  readonly streams: number;
}

export class Crowd {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  /** Starts to connect; `opened` resolves when all is open. */
  constructor(port: number, { connections, streams }: CrowdSize) {
    const program = `${import.meta.dir}/crowd-program.ts`;
    const words = [port, connections, streams].map(String);
    this.#process = Bun.spawn([process.execPath, program, ...words], {
      ...{ stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    });
    this.#lines = linesOf(this.#process.stdout);
  }

  async opened(): Promise<void> {
    const line = await this.#line();
    if (line !== "open") throw new Error(`the clients of the benchmark ended: ${line}`);
  }

  /** Puts the watched key `events` times at etcd. Returns how many events the watches got. */
  async broadcast(etcdPort: number, events: number): Promise<number> {
    this.#process.stdin.write(`${etcdPort} ${events}\n`);
    this.#process.stdin.flush();
    return Number(await this.#line());
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    return done === true ? "no output" : value;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}
