// An HTTP proxy as a process: our compiled binary, or etcd's own of release 3.4.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EtcdCluster } from "./etcd-cluster.ts";
import { freePort } from "./free-port.ts";
import { requireTool } from "./gateway-command.ts";
import { gatewayBinary, type GatewayOptions, GatewayProcess } from "./gateway-process.ts";

/** Our compiled binary, or etcd's own proxy, the control. */
export type HttpProxyKind = "ours" | "etcd";

/** Starts our proxy on a free port; resolves when it serves. Throws if it exits. */
export async function startHttpProxy(
  flags: readonly string[],
  options?: GatewayOptions,
): Promise<GatewayProcess> {
  const words = [gatewayBinary(), "http-proxy", "start", "--listen-addr=127.0.0.1:0", ...flags];
  const proxy = new GatewayProcess(words, options);
  try {
    await proxy.logged("started HTTP proxy", undefined, 20_000);
    proxy.address = proxy.lines("listening")[0]!["address"] as string;
    return proxy;
  } catch (error) {
    await proxy.close();
    throw error;
  }
}

/** Starts a proxy of either kind in front of a cluster. */
export async function startHttpProxyFor(
  kind: HttpProxyKind,
  cluster: EtcdCluster,
  mode: "on" | "readonly" = "on",
): Promise<GatewayProcess> {
  if (kind === "ours")
    return await startHttpProxy([`--endpoints=${cluster.endpoints}`, `--proxy=${mode}`]);

  const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-proxy-"));
  const address = `127.0.0.1:${freePort()}`;
  const peers = cluster.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
  const proxy = new EtcdProxy(
    [
      ...[requireTool("etcd"), `--proxy=${mode}`, `--listen-client-urls=http://${address}`],
      ...[`--initial-cluster=${peers}`, `--data-dir=${join(folder, "data")}`, "--logger=zap"],
    ],
    folder,
  );
  try {
    await proxy.answers(address);
    proxy.address = address;
    return proxy;
  } catch (error) {
    await proxy.close();
    throw error;
  }
}

class EtcdProxy extends GatewayProcess {
  readonly #folder: string;

  constructor(words: readonly string[], folder: string) {
    super(words, process.arch === "arm64" ? { env: { ETCD_UNSUPPORTED_ARCH: "arm64" } } : {});
    this.#folder = folder;
  }

  /** Resolves once it answers a request with a member's answer. */
  async answers(address: string): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const response = await fetch(`http://${address}/version`, { keepalive: false }).catch(
        () => undefined,
      );
      if (response?.ok) return;
      if (this.status !== undefined) break;
      await Bun.sleep(50);
    }
    throw new Error(`etcd's proxy did not serve: ${this.stdout}${this.stderr}`);
  }

  override async close(): Promise<void> {
    await super.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
