// The programs that generate load: h2load, and etcd's own benchmark where it is installed.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Message } from "../support/protobuf.ts";
import type { Rpc } from "../support/etcd-rpcs.ts";
import { framed } from "../support/grpc-client.ts";

export interface Load {
  readonly calls: number;
  readonly connections: number;
  /** Calls that each connection has open at the same time. */
  readonly streams: number;
}

export interface LoadFigures {
  readonly callsPerSecond: number;
  /** The median duration of a call. */
  readonly medianUs: number;
}

/** Repeats one unary call with h2load. */
export class RepeatedCall {
  readonly #path: string;
  readonly #request: Uint8Array;
  readonly #answerBytes: number;
  #folder = "";

  /** `answerBytes`: an answer that is shorter is an error. */
  constructor(
    rpc: Rpc<Message<any>, Message<any>>,
    request: Record<string, unknown>,
    answerBytes: number,
  ) {
    this.#path = rpc.path;
    this.#request = framed(rpc.request.encode(request), false);
    this.#answerBytes = answerBytes;
  }

  async start(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "etcd-gateway-bench-"));
    await Bun.write(join(this.#folder, "request"), this.#request);
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  /** Throws unless each call was answered. */
  async run(port: number, { calls, connections, streams }: Load): Promise<LoadFigures> {
    const log = join(this.#folder, "log");
    const { stdout } = Bun.spawnSync([
      ...["h2load", "-n", String(calls), "-c", String(connections), "-m", String(streams)],
      ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
      ...["-d", join(this.#folder, "request"), `--log-file=${log}`],
      `http://127.0.0.1:${port}${this.#path}`,
    ]);
    const text = stdout.toString();
    // The code of a gRPC error is in the trailers, where h2load does not look.
    const bodyBytes = Number(/\((\d+)\) data/.exec(text)?.[1]);
    const isComplete = text.includes(` ${calls} succeeded`);
    if (!isComplete || !(bodyBytes >= calls * this.#answerBytes)) throw new Error(text);

    const lines = (await Bun.file(log).text()).trimEnd().split("\n");
    await rm(log);
    const durations = lines.map((line) => Number(line.split("\t")[2])).sort((a, b) => a - b);
    return {
      callsPerSecond: Number(/finished in [^,]+, ([\d.]+) req/.exec(text)![1]),
      medianUs: durations[durations.length >> 1]!,
    };
  }
}

const TIMEOUT_MS = 10_000;

/** Whether etcd's benchmark (tools/benchmark of its repository) is installed. */
export const hasEtcdBenchmark = Bun.which("benchmark") !== null;

/** Runs etcd's benchmark. Returns its text, or undefined if it did not end in time. */
export function etcdBenchmark(port: number, words: readonly string[]): string | undefined {
  const { stdout, exitedDueToTimeout } = Bun.spawnSync(
    ["benchmark", `--endpoints=127.0.0.1:${port}`, "--conns=4", "--clients=16", ...words],
    { stderr: "ignore", timeout: TIMEOUT_MS },
  );
  return exitedDueToTimeout === true ? undefined : stdout.toString();
}
