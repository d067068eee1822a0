// A gateway that is abused. Each part is a process of its own, since 10,000
// connections need more descriptors than a test has to spare: servers that echo,
// the compiled gateway, a visitor who must be served all the time, and a crowd.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Closers, Command, eventually, output, requireTool, run } from "./gateway-command.ts";
import { GatewayProcess } from "./gateway-process.ts";
import { until } from "./peer.ts";

/** Clients of each kind of abuse. */
export const CROWD = 10_000;

export type AbuseKind = "idle" | "deaf" | "trickle" | "reset" | "burst";

/** How many clients ended how: `{ served: 10_000 }`. */
export type Outcomes = Readonly<Record<string, number>>;

export interface SceneOptions {
  /** Words before each program's own, as to enter a namespace. */
  readonly prefix: readonly string[];
  readonly listenAddr: string;
  /** Addresses of one server each, at the same port. */
  readonly endpoints: readonly string[];
}

// 10,000 clients take 20,000 in the gateway. Where the limit cannot be raised
// that far (not even by root, without CAP_SYS_RESOURCE), a few clients less stay.
const DESCRIPTORS = 65_536;
const LEAST_DESCRIPTORS = 20_000;
const ROOM_FOR_VISITS = 66;
const SERVER_HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
const WARM_UP_VISITS = 10;
const SMALL_BUFFERS = ["tcp_rmem", "tcp_wmem"];

/** A prefix that gives as many descriptors as can be had. Throws the command that helps. */
async function raisedLimit(): Promise<string[]> {
  const prlimit = requireTool("prlimit");
  const limitTo = (count: number) => [prlimit, `--nofile=${count}:${count}`];
  if ((await run([...limitTo(DESCRIPTORS), "true"])).status === 0) return limitTo(DESCRIPTORS);
  const question = [prlimit, "--nofile", "--noheadings", "--raw", "--output=HARD"];
  const hard = Number(await output(question));
  if (hard >= LEAST_DESCRIPTORS) return limitTo(hard);
  const command = `sudo prlimit --pid=$$ --nofile=${DESCRIPTORS}:${DESCRIPTORS}`;
  throw new Error(`the hard limit is ${hard} open files; run before the test: ${command}`);
}

/** A program of this folder that prints lines. */
export class Program extends Command {
  constructor(prefix: readonly string[], name: string, args: readonly string[], input = "") {
    const path = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
    super([...prefix, process.execPath, path, ...args], { input });
  }

  get lines(): string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  /** Its line number `index`, once it is there. */
  async line(index: number): Promise<string> {
    const isDecided = () => this.lines.length > index || this.status !== undefined;
    await until(isDecided, "a program of the test had told", 40_000);
    if (this.lines.length > index) return this.lines[index]!;
    throw new Error(`a program of the test ended with ${this.status}: ${this.stderr}`);
  }
}

export class AbuseScene {
  readonly gateway: GatewayProcess;
  readonly #closers: Closers;
  readonly #prefix: readonly string[];
  readonly #visitor: Program;
  /** Of the gateway, before anybody came. */
  readonly #descriptors: number;
  /** Of the gateway, before the abuse. */
  #residentKib = 0;

  private constructor(closers: Closers, gateway: GatewayProcess, prefix: readonly string[]) {
    this.#closers = closers;
    this.#prefix = prefix;
    this.gateway = closers.add(gateway);
    this.#descriptors = gateway.descriptors;
    this.#visitor = this.program("abuse-visitor-program", this.#address);
  }

  /** On loopback, with room for the crowd. */
  static async onLoopback(closers: Closers): Promise<AbuseScene> {
    return await AbuseScene.#onLoopback(closers, []);
  }

  /** The same, where the kernel has little room for what nobody reads. */
  static async onSmallBuffers(closers: Closers): Promise<AbuseScene> {
    const small = SMALL_BUFFERS.map((name) => `echo 4096 8192 16384 > /proc/sys/net/ipv4/${name}`);
    const script = [...small, "PATH=$PATH:/usr/sbin:/sbin ip link set lo up", "exec sleep 600"];
    const words = [requireTool("unshare"), "--net", "sh", "-c", script.join(" && ")];
    const network = closers.add(new Command(words));
    const enter = [requireTool("nsenter"), `--net=/proc/${network.pid}/ns/net`];
    // It has a network of its own as soon as it is sleep.
    const isThere = async () =>
      (await run(["cat", `/proc/${network.pid}/comm`])).stdout === "sleep\n";
    await eventually(async () => {
      if (network.status !== undefined)
        throw new Error(`no network of its own (needs root and CAP_NET_ADMIN): ${network.stderr}`);
      return (await isThere()) || undefined;
    }, "the network was there");
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

  /** In front of servers that are there; the visitor has been served. */
  static async start(
    closers: Closers,
    { prefix, listenAddr, endpoints }: SceneOptions,
  ): Promise<AbuseScene> {
    const flags = [`--listen-addr=${listenAddr}`, `--endpoints=${endpoints.join()}`];
    const gateway = await GatewayProcess.start(flags, { wrapper: prefix });
    const scene = new AbuseScene(closers, gateway, prefix);
    // The code that serves is in memory from here on.
    await scene.moreVisits(WARM_UP_VISITS);
    scene.#residentKib = gateway.residentKib;
    return scene;
  }

  program(name: string, args: readonly string[]): Program {
    return this.#closers.add(new Program(this.#prefix, name, args));
  }

  /** Clients that can stay at the same time, beside the visitor: the crowd, or a few less. */
  get room(): number {
    const limit = this.gateway.lines("listening")[0]!["max-connections"] as number;
    return Math.min(CROWD, limit - ROOM_FOR_VISITS);
  }

  crowd(kind: AbuseKind, count = CROWD): Program {
    return this.program("abuse-crowd-program", [kind, ...this.#address, String(count)]);
  }

  /** What became of a crowd's clients, when it tells for the first time or again. */
  async outcomes(crowd: Program, time = 0): Promise<Outcomes> {
    return JSON.parse(await crowd.line(time));
  }

  async moreVisits(count: number): Promise<void> {
    await this.#visitor.line(this.#visitor.lines.length + count);
  }

  get visits(): readonly string[] {
    return this.#visitor.lines;
  }

  /** Resolves when the visitor has had his last answer and has gone. */
  async endVisits(): Promise<void> {
    this.#visitor.signal("SIGTERM");
    await this.#visitor.exited(40_000);
  }

  /** Descriptors beyond those without any client. */
  get extraDescriptors(): number {
    return this.gateway.descriptors - this.#descriptors;
  }

  /** Resident memory beyond that before the abuse. */
  get extraKib(): number {
    return this.gateway.residentKib - this.#residentKib;
  }

  /** The same of the moment when it was largest. */
  get extraPeakKib(): number {
    const status = readFileSync(`/proc/${this.gateway.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) - this.#residentKib;
  }

  get #address(): string[] {
    return this.gateway.address.split(":");
  }
}
