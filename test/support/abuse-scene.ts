// The setting of the abuse tests: echo servers, the compiled gateway, a visitor that the
// gateway must serve all the time, and a crowd that abuses it. Each is a process of its
// own, because 10,000 connections need more descriptors than the test has.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Closers, Command, eventually, output, requireTool, run } from "./gateway-command.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { until } from "./peer.ts";

/** The number of clients of each kind of abuse. */
export const CROWD = 10_000;

export type AbuseKind = "idle" | "deaf" | "trickle" | "reset" | "burst";

/** The number of clients by outcome: `{ served: 10_000 }`. */
export type Outcomes = Readonly<Record<string, number>>;

export interface SceneOptions {
  /** A command prefix for each program, for example to enter a namespace. */
  readonly prefix: readonly string[];
  readonly listenAddr: string;
  /** The servers' addresses, which share one port. */
  readonly endpoints: readonly string[];
}

// 10,000 clients take 20,000 descriptors in the gateway. Where the limit cannot be
// raised that far (root needs CAP_SYS_RESOURCE), the crowd is slightly smaller.
const DESCRIPTORS = 65_536;
const LEAST_DESCRIPTORS = 20_000;
const ROOM_FOR_VISITS = 66;
const SERVER_HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
const WARM_UP_VISITS = 10;
const SMALL_BUFFERS = ["tcp_rmem", "tcp_wmem"];

/** Returns a command prefix that raises the descriptor limit. Throws the command to run first. */
export async function raisedLimit(): Promise<string[]> {
  const prlimit = requireTool("prlimit");
  const limitTo = (count: number) => [prlimit, `--nofile=${count}:${count}`];
  if ((await run([...limitTo(DESCRIPTORS), "true"])).status === 0) return limitTo(DESCRIPTORS);

  const hard = Number(
    await output([prlimit, "--nofile", "--noheadings", "--raw", "--output=HARD"]),
  );
  if (hard >= LEAST_DESCRIPTORS) return limitTo(hard);
  const command = `sudo prlimit --pid=$$ --nofile=${DESCRIPTORS}:${DESCRIPTORS}`;
  throw new Error(`the hard limit is ${hard} open files; run before the test: ${command}`);
}

/** A running program of this folder that prints lines. */
export class Program extends Command {
  constructor(prefix: readonly string[], name: string, args: readonly string[], input = "") {
    const path = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
    super([...prefix, process.execPath, path, ...args], { input });
  }

  get lines(): string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  /** Resolves with line number `index`, once the program has printed it. */
  async line(index: number): Promise<string> {
    const isPrintedOrExited = () => this.lines.length > index || this.status !== undefined;
    await until(isPrintedOrExited, "a program of the test printed its line", 40_000);
    if (this.lines.length > index) return this.lines[index]!;
    throw new Error(`a program of the test exited with ${this.status}: ${this.stderr}`);
  }
}

export class AbuseScene {
  readonly gateway: GatewayProcess;
  readonly #closers: Closers;
  readonly #prefix: readonly string[];
  readonly #visitor: Program;
  /** The gateway's descriptors without any client. */
  readonly #descriptors: number;
  /** The gateway's resident memory before the abuse. */
  #residentKib = 0;

  private constructor(closers: Closers, gateway: GatewayProcess, prefix: readonly string[]) {
    this.#closers = closers;
    this.#prefix = prefix;
    this.gateway = closers.add(gateway);
    this.#descriptors = gateway.descriptors;
    this.#visitor = this.program("abuse-visitor-program", this.#address);
  }

  /** Starts the scene on loopback. */
  static async onLoopback(closers: Closers): Promise<AbuseScene> {
    return await AbuseScene.#onLoopback(closers, []);
  }

  /** Starts the scene on the loopback of a new network namespace with small socket buffers. */
  static async onSmallBuffers(closers: Closers): Promise<AbuseScene> {
    const small = SMALL_BUFFERS.map((name) => `echo 4096 8192 16384 > /proc/sys/net/ipv4/${name}`);
    const script = [...small, "PATH=$PATH:/usr/sbin:/sbin ip link set lo up", "exec sleep 600"];
    const words = [requireTool("unshare"), "--net", "sh", "-c", script.join(" && ")];
    const network = closers.add(new Command(words));
    const enter = [requireTool("nsenter"), `--net=/proc/${network.pid}/ns/net`];
    // The network is ready once the script has become its last command, sleep.
    const isReady = async () =>
      (await run(["cat", `/proc/${network.pid}/comm`])).stdout === "sleep\n";
    await eventually(async () => {
      if (network.status !== undefined)
        throw new Error(
          `cannot create a network namespace (needs root and CAP_NET_ADMIN): ${network.stderr}`,
        );
      return (await isReady()) || undefined;
    }, "the network was ready");
    return await AbuseScene.#onLoopback(closers, enter);
  }

  static async #onLoopback(closers: Closers, enter: readonly string[]): Promise<AbuseScene> {
    const prefix = [...enter, ...(await raisedLimit())];
    const servers = new Program(prefix, "abuse-echo-program", [SERVER_HOSTS.join(), "0"]);
    closers.add(servers);
    const port = await servers.line(0);
    const endpoints = SERVER_HOSTS.map((host) => `${host}:${port}`);
    return await AbuseScene.start(closers, { prefix, listenAddr: "127.0.0.1:0", endpoints });
  }

  /** Starts the scene in front of running servers; resolves when the visitor has been served. */
  static async start(
    closers: Closers,
    { prefix, listenAddr, endpoints }: SceneOptions,
  ): Promise<AbuseScene> {
    const flags = [`--listen-addr=${listenAddr}`, `--endpoints=${endpoints.join()}`];
    const gateway = await GatewayProcess.start(flags, { wrapper: prefix });
    const scene = new AbuseScene(closers, gateway, prefix);
    // From here on, the code that serves clients is loaded.
    await scene.moreVisits(WARM_UP_VISITS);
    scene.#residentKib = gateway.residentKib;
    return scene;
  }

  program(name: string, args: readonly string[]): Program {
    return this.#closers.add(new Program(this.#prefix, name, args));
  }

  /** The number of clients that can stay connected alongside the visitor: at most the crowd. */
  get room(): number {
    const limit = this.gateway.lines("listening")[0]!["max-connections"] as number;
    return Math.min(CROWD, limit - ROOM_FOR_VISITS);
  }

  crowd(kind: AbuseKind, count = CROWD): Program {
    return this.program("abuse-crowd-program", [kind, ...this.#address, String(count)]);
  }

  /** Resolves with the outcomes that a crowd prints, in its report number `index`. */
  async outcomes(crowd: Program, index = 0): Promise<Outcomes> {
    return JSON.parse(await crowd.line(index));
  }

  async moreVisits(count: number): Promise<void> {
    await this.#visitor.line(this.#visitor.lines.length + count);
  }

  get visits(): readonly string[] {
    return this.#visitor.lines;
  }

  /** Stops the visitor; resolves when its last response has arrived and it has exited. */
  async endVisits(): Promise<void> {
    this.#visitor.signal("SIGTERM");
    await this.#visitor.exited(40_000);
  }

  /** The gateway's descriptors in addition to those without any client. */
  get extraDescriptors(): number {
    return this.gateway.descriptors - this.#descriptors;
  }

  /** The gateway's resident memory in addition to that before the abuse. */
  get extraKib(): number {
    return this.gateway.residentKib - this.#residentKib;
  }

  /** The peak of `extraKib`. */
  get extraPeakKib(): number {
    const status = readFileSync(`/proc/${this.gateway.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) - this.#residentKib;
  }

  get #address(): string[] {
    return this.gateway.address.split(":");
  }
}
