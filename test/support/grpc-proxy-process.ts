// A gRPC proxy as a process: our compiled binary, or etcd's own. The command line is the same.
import type { EtcdRelease } from "./etcd-releases.ts";
import { freePort } from "./free-port.ts";
import { gatewayBinary, type GatewayOptions, GatewayProcess } from "./gateway-process.ts";

/** Our compiled binary, etcd's own proxy, or none: clients connect to the first endpoint. */
export type GrpcProxyKind = "ours" | "etcd" | "none";

/** What is tested: a proxy of one kind, in front of etcd of one release. */
export interface GrpcProxySubject {
  readonly kind: GrpcProxyKind;
  /** The release of the members, and of the proxy if it is etcd's. */
  readonly release: EtcdRelease;
}

const STARTED = "started gRPC proxy";

/**
 * Starts a proxy on a free port; resolves when it serves. Unless the flags say otherwise, it
 * returns etcd's own member list. Throws if it exits.
 */
export async function startGrpcProxy(
  { kind, release }: GrpcProxySubject,
  flags: readonly string[],
  options?: GatewayOptions,
): Promise<GatewayProcess> {
  if (kind === "none") return standIn(flags);
  const program = kind === "ours" ? gatewayBinary() : release.etcd;
  for (let attempt = 1; ; attempt++) {
    const address = `127.0.0.1:${freePort()}`;
    const words = [program, "grpc-proxy", "start", `--listen-addr=${address}`];
    const proxy = new GatewayProcess([...words, "--advertise-client-url=", ...flags], options);
    try {
      await proxy.logged(STARTED, undefined, 20_000);
      proxy.address = address;
      return proxy;
    } catch (error) {
      await proxy.close();
      const isTaken = (proxy.stdout + proxy.stderr).includes("address already in use");
      if (!isTaken || attempt === 5) throw error;
    }
  }
}

/** Returns a process that does nothing, with the address of the first endpoint. */
function standIn(flags: readonly string[]): GatewayProcess {
  const process = new GatewayProcess(["sleep", "infinity"]);
  const endpoints = flags.find((flag) => flag.startsWith("--endpoints="))!;
  process.address = endpoints.slice("--endpoints=".length).split(",")[0]!;
  return process;
}
