// Go's TLS client as a program, since etcd's clients have its rules. Undefined if Go is not
// installed.
import { fileURLToPath } from "node:url";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CommandOptions, output, run } from "./gateway-command.ts";

export interface GoOutcome {
  readonly version: string;
  readonly protocol: string;
  readonly serial: string;
  readonly received: number;
  readonly sha256: string;
  /** Empty: none. */
  readonly error: string;
}

export class GoTls {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Builds the program. */
  static async build(): Promise<GoTls | undefined> {
    const go = Bun.which("go");
    if (go === null) {
      console.log("SKIPPED: connections of Go's TLS client, since go is not installed");
      return undefined;
    }
    const built = new GoTls(await mkdtemp(join(tmpdir(), "etcd-gateway-go-tls-")));
    const cwd = fileURLToPath(new URL("../net/go-tls", import.meta.url));
    const env = { HOME: built.#folder, CGO_ENABLED: "0", GOTOOLCHAIN: "local" };
    const cache = process.env["GOCACHE"] ?? join(process.env["HOME"] ?? "/", ".cache", "go-build");
    await output([go, "build", "-o", built.#program, "."], {
      cwd,
      env: { ...env, GOCACHE: cache },
    });
    return built;
  }

  /** Runs the program with flags without their dashes, and returns what it printed. */
  async connect(
    flags: Readonly<Record<string, string | number>>,
    input: NonNullable<CommandOptions["input"]> = "",
  ): Promise<GoOutcome> {
    const words = Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`);
    const { stdout } = await run([this.#program, ...words], { input });
    return JSON.parse(stdout) as GoOutcome;
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #program(): string {
    return join(this.#folder, "go-tls");
  }
}
