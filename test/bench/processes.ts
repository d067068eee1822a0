// The processes that the benchmark measures: gateways and etcd on free loopback ports,
// and their figures in /proc.
import { dlopen, ptr } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HAPROXY_DEFAULTS } from "../faults/gateways.ts";
import { freePorts } from "../support/free-port.ts";

const { symbols: libc } = dlopen("libc.so.6", {
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
});

/** A child process that listens on `port`. Its output is discarded. */
export class Child {
  readonly #process: Bun.Subprocess;

  constructor(
    command: string[],
    readonly port: number,
  ) {
    this.#process = Bun.spawn(command, { stdout: "ignore", stderr: "ignore" });
  }

  /** Resolves with the milliseconds until it accepts a connection. */
  async ready(): Promise<number> {
    const start = performance.now();
    for (;;) {
      try {
        const socket = await Bun.connect({
          hostname: "127.0.0.1",
          port: this.port,
          socket: { data() {} },
        });
        socket.terminate();
        return performance.now() - start;
      } catch (error) {
        if (performance.now() - start > 20_000) throw error;
        await Bun.sleep(0.5);
      }
    }
  }

  get residentKib(): number {
    return this.#memoryKib("VmRSS");
  }

  /** The resident memory that is not of files. */
  get anonymousKib(): number {
    return this.#memoryKib("RssAnon");
  }

  /** The most that `residentKib` has been. */
  get peakKib(): number {
    return this.#memoryKib("VmHWM");
  }

  #memoryKib(field: string): number {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)![1]);
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.#process.pid}/fd`).length;
  }

  /** CPU time so far of all threads, user and system, in microseconds. */
  get cpuUs(): number {
    const time = new BigInt64Array(2);
    // The clock id of a process's CPU time, as clock_getcpuclockid(3) returns it.
    if (libc.clock_gettime((~this.#process.pid << 3) | 2, ptr(time)) !== 0)
      throw new Error("no CPU time: the process has ended");
    return Number(time[0]) * 1e6 + Number(time[1]) / 1000;
  }

  /** CPU time so far, user and system, in hundredths of a second. */
  get cpuTicks(): number {
    const fields = readFileSync(`/proc/${this.#process.pid}/stat`, "utf8").split(" ");
    return Number(fields[13]) + Number(fields[14]);
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

/** Starts the gateway under test, in front of loopback endpoints. */
export function startGateway(...endpointPorts: number[]): Child {
  return startInFrontOf(endpointPorts, ["dist/etcd-gateway", "start"]);
}

/** Starts etcd's own gateway, in front of loopback endpoints. */
export function startEtcdGateway(...endpointPorts: number[]): Child {
  return startInFrontOf(endpointPorts, ["etcd", "gateway", "start"]);
}

/** Starts the gRPC proxy under test, in front of a loopback etcd. */
export function startGrpcProxy(etcdPort: number): Child {
  return startInFrontOf([etcdPort], ["dist/etcd-gateway", "grpc-proxy", "start"]);
}

/** Starts etcd's own gRPC proxy, in front of a loopback etcd. */
export function startEtcdGrpcProxy(etcdPort: number): Child {
  return startInFrontOf([etcdPort], ["etcd", "grpc-proxy", "start"]);
}

/** Starts HAProxy, in front of loopback endpoints; undefined if it is not installed. */
export async function startHaproxy(...endpointPorts: number[]): Promise<Child | undefined> {
  const program = Bun.which("haproxy", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
  if (program === null) return undefined;
  const [port] = freePorts(1) as [number];
  const servers = endpointPorts.map((to) => `  server s${to} 127.0.0.1:${to}`);
  const lines = [HAPROXY_DEFAULTS, "listen etcd", `  bind 127.0.0.1:${port}`, ...servers, ""];
  const file = join(await mkdtemp(join(tmpdir(), "etcd-gateway-bench-")), "haproxy.cfg");
  await writeFile(file, lines.join("\n"));
  return new Child([program, "-db", "-f", file], port);
}

/** Measures one gateway after the other, so that they do not compete, and prints the figures. */
export async function forEachGateway(
  ports: number[],
  measure: (gateway: Child) => Promise<object>,
): Promise<void> {
  const starts = { ours: startGateway, etcd: startEtcdGateway, haproxy: startHaproxy };
  for (const [name, start] of Object.entries(starts)) {
    const gateway = await start(...ports);
    if (gateway === undefined) continue;
    try {
      await gateway.ready();
      console.log(name, JSON.stringify(await measure(gateway)));
    } finally {
      await gateway.stop();
    }
  }
}

function startInFrontOf(endpointPorts: number[], words: string[]): Child {
  const [port] = freePorts(1) as [number];
  const endpoints = endpointPorts.map((to) => `127.0.0.1:${to}`).join(",");
  return new Child([...words, `--endpoints=${endpoints}`, `--listen-addr=127.0.0.1:${port}`], port);
}

/** Starts a single-member etcd; its `port` serves clients. */
export async function startEtcd(): Promise<{ etcd: Child; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-bench-"));
  const [clients, peers] = freePorts(2) as [number, number];
  const peerUrl = `http://127.0.0.1:${peers}`;
  const clientUrl = `http://127.0.0.1:${clients}`;
  const etcd = new Child(
    [
      ...["etcd", "--data-dir", folder, "--initial-cluster", `default=${peerUrl}`],
      ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ],
    clients,
  );
  const remove = async () => {
    await etcd.stop();
    await rm(folder, { recursive: true });
  };
  return { etcd, remove };
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
