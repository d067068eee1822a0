// The processes that the benchmark measures: gateways and etcd on free loopback ports,
// and their figures in /proc.
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HAPROXY_DEFAULTS } from "../faults/gateways.ts";
import { freePorts } from "../support/free-port.ts";

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
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.#process.pid}/fd`).length;
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
