// Programs that a test runs: found or reported missing, started in an
// environment of their own, and ended by their process id.
import { until } from "./peer.ts";

const PACKAGES: Readonly<Record<string, string>> = {
  chromium: "chromium",
  dnsmasq: "dnsmasq-base",
  etcd: "etcd-server etcd-client",
  etcdctl: "etcd-server etcd-client",
  fish: "fish",
  groff: "groff-base",
  ip: "iproute2",
  mandoc: "mandoc",
  nsenter: "util-linux",
  openssl: "openssl",
  prlimit: "util-linux",
  promtool: "prometheus",
  unshare: "util-linux",
  zsh: "zsh",
};

/** The path of a program. Throws the command that installs it: a missing tool fails the test. */
export function requireTool(name: string): string {
  // Daemons are in sbin, which is not on everybody's path.
  const path = Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
  if (path !== null) return path;
  throw new Error(`${name} is missing; install it with: apt-get install ${PACKAGES[name] ?? name}`);
}

export interface CommandOptions {
  /** All that the program has of an environment, beside PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: Uint8Array | string;
  /** A descriptor that it inherits as number 3; it stays the caller's. */
  readonly inherited?: number;
}

/** A program with its output so far. */
export class Command {
  stdout = "";
  stderr = "";
  /** Undefined while it runs; null if a signal ended it. */
  status: number | null | undefined;
  readonly #words: readonly string[];
  readonly #process: Bun.Subprocess<Uint8Array, "pipe", "pipe">;
  readonly #ended: Promise<void>;

  constructor(words: readonly string[], { env, cwd, input = "", inherited }: CommandOptions = {}) {
    this.#words = words;
    // Nothing of the tester's own variables: one called ETCD_... would change what is tested.
    this.#process = Bun.spawn([...words], {
      env: { PATH: process.env["PATH"], ...env },
      ...(cwd === undefined ? {} : { cwd }),
      stdio: [Buffer.from(input), "pipe", "pipe", ...(inherited === undefined ? [] : [inherited])],
    });
    this.#ended = this.#end();
  }

  get pid(): number {
    return this.#process.pid;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Its status once it has ended and all that it wrote has been read; null if a signal ended it. */
  async exited(timeoutMs = 20_000): Promise<number | null> {
    try {
      await until(() => this.status !== undefined, `${this.#words.join(" ")} ended`, timeoutMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${this.stdout}${this.stderr}`);
    }
    return this.status!;
  }

  /** Kills it if it still runs. May be called twice. */
  async close(): Promise<void> {
    if (this.status === undefined) this.#process.kill("SIGKILL");
    await this.#ended;
  }

  async #end(): Promise<void> {
    await Promise.all([
      read(this.#process.stdout, (text) => {
        this.stdout += text;
      }),
      read(this.#process.stderr, (text) => {
        this.stderr += text;
      }),
      this.#process.exited,
    ]);
    this.status = this.#process.exitCode;
  }
}

async function read(stream: ReadableStream<Uint8Array>, take: (text: string) => void) {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** Runs a program to its end; kills it and rejects if that takes too long. */
export async function run(words: readonly string[], options?: CommandOptions): Promise<Command> {
  const command = new Command(words, options);
  try {
    await command.exited();
  } finally {
    await command.close();
  }
  return command;
}

/** As `run`, and returns what it printed; throws unless the status is 0. */
export async function output(words: readonly string[], options?: CommandOptions): Promise<string> {
  const { status, stdout, stderr } = await run(words, options);
  if (status === 0) return stdout;
  throw new Error(`${words.join(" ")} ended with ${status}: ${stdout}${stderr}`);
}

/** Calls `attempt` until it gives something; rejects with `what`, and why, after `timeoutMs`. */
export async function eventually<T>(
  attempt: () => Promise<T | undefined>,
  what: string,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline)
      throw new Error(`waited in vain until ${what}`, { cause: failure });
    await Bun.sleep(20);
  }
}

/** What a test has opened, closed in reverse whatever became of the test. */
export class Closers {
  readonly #closers: (() => unknown)[] = [];

  /** Returns the resource, to be closed by its `close`. */
  add<T extends { close(): unknown }>(resource: T): T {
    this.#closers.push(() => resource.close());
    return resource;
  }

  defer(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** Closes everything; the first failure is thrown when all has been tried. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
