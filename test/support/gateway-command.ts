// Programs that a test runs: found or reported missing, started in a clean environment,
// and ended by their process id.
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

/** Returns the path of a program. Throws the command that installs it if it is missing. */
export function requireTool(name: string): string {
  // Daemons are in sbin, which is not in every user's PATH.
  const path = Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
  if (path !== null) return path;
  throw new Error(`${name} is missing; install it with: apt-get install ${PACKAGES[name] ?? name}`);
}

export interface CommandOptions {
  /** The program's environment, in addition to PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: Uint8Array | string;
  /** A descriptor that the program inherits as number 3. The caller keeps and closes its own. */
  readonly inherited?: number;
}

/** A running or finished program, with its output so far. */
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
    // Without this environment, whose ETCD_... variables would change the test.
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

  /** Resolves with the status once all output has been read; null if a signal ended it. */
  async exited(timeoutMs = 20_000): Promise<number | null> {
    try {
      await until(() => this.status !== undefined, `${this.#words.join(" ")} exited`, timeoutMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${this.stdout}${this.stderr}`);
    }
    return this.status!;
  }

  /** Kills the program if it still runs. May be called twice. */
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

async function read(stream: ReadableStream<Uint8Array>, onText: (text: string) => void) {
  const decoder = new TextDecoder();
  for await (const chunk of stream) onText(decoder.decode(chunk, { stream: true }));
}

/** Runs a program until it exits; kills it and rejects if that takes too long. */
export async function run(words: readonly string[], options?: CommandOptions): Promise<Command> {
  const command = new Command(words, options);
  try {
    await command.exited();
  } finally {
    await command.close();
  }
  return command;
}

/** Runs a program and resolves with its standard output; throws unless the status is 0. */
export async function output(words: readonly string[], options?: CommandOptions): Promise<string> {
  const { status, stdout, stderr } = await run(words, options);
  if (status === 0) return stdout;
  throw new Error(`${words.join(" ")} exited with ${status}: ${stdout}${stderr}`);
}

/** Retries `attempt` until it returns a value; rejects after `timeoutMs` with its last error. */
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
      throw new Error(`timed out waiting until ${what}`, { cause: failure });
    await Bun.sleep(20);
  }
}

/** The resources of a test, which `close` closes in reverse order. */
export class Closers {
  readonly #closers: (() => unknown)[] = [];

  /** Registers a resource and returns it. */
  add<T extends { close(): unknown }>(resource: T): T {
    this.#closers.push(() => resource.close());
    return resource;
  }

  defer(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** Closes everything, then throws the first failure, if any. */
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
