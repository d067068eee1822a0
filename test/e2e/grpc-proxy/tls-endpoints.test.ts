// The gRPC proxy's own requests to etcd over TLS, and endpoints on Unix sockets.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KV, Watch } from "../../support/etcd-rpcs.ts";
import { etcdctl } from "../../support/etcdctl.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import {
  downErrors,
  GrpcProxyTlsScene,
  put,
  putPasses,
  releases,
} from "../../support/grpc-proxy-tls-scene.ts";
import { until } from "../../support/peer.ts";
import { GrpcUpstream } from "../../support/grpc-upstream.ts";
import type { SingleEtcd } from "../../support/single-etcd.ts";
import type { KeyPair } from "../../support/tls-certificates.ts";

setDefaultTimeout(60_000);

/** A Unix socket in front of a TCP server. */
class UnixRelay {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(port: number) {
    this.#server = net.createServer((client) => {
      const upstream = net.connect(port, "127.0.0.1");
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => other.destroy());
        socket.pipe(other);
      }
    });
  }

  static async start(path: string, port: number): Promise<UnixRelay> {
    const relay = new UnixRelay(port);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    relay.#server.on("error", reject);
    relay.#server.listen(path, resolve);
    await promise;
    return relay;
  }

  /** Cuts its connections and removes the socket. May be called twice. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

describe.each(releases)("our gRPC proxy, etcd %s,", (_, release) => {
  const scene = new GrpcProxyTlsScene(release);
  let server: KeyPair;
  let folder: string;
  beforeAll(async () => {
    await scene.start();
    server = await scene.serverPair();
    folder = await mkdtemp(join(tmpdir(), "etcd-gateway-unix-"));
  });
  afterEach(() => scene.endTest());
  afterAll(async () => {
    await scene.close();
    await rm(folder, { recursive: true, force: true });
  });

  const cacert = () => `--cacert=${scene.authority.cert}`;
  const logged = (proxy: GatewayProcess, text: string) =>
    until(() => proxy.stderr.includes(text), `"${text}" was logged`);

  describe("--endpoints-auto-sync-interval", () => {
    const localhost = ({ port }: SingleEtcd) => `https://localhost:${port}`;

    test("finds the members over TLS with --cacert, --cert and --key", async () => {
      const etcd = await scene.secureEtcd(server, scene.authority.cert);
      const client = await scene.clientPair();
      const proxy = await scene.proxy([
        ...[`--endpoints=${localhost(etcd)}`, "--endpoints-auto-sync-interval=100ms"],
        ...[cacert(), `--cert=${client.cert}`, `--key=${client.key}`],
      ]);
      await proxy.logged("endpoints changed");
      expect(proxy.lines("endpoints changed")[0]).toMatchObject({
        added: [etcd.address],
        removed: [`localhost:${etcd.port}`],
      });
      expect((await put(await scene.connect(proxy.address))).status).toBe(0);
    });

    test("says in the log that a member demands a client certificate, and names no flag of the gateway", async () => {
      const etcd = await scene.secureEtcd(server, scene.authority.cert);
      const flags = [`--endpoints=${localhost(etcd)}`, "--endpoints-auto-sync-interval=100ms"];
      const proxy = await scene.proxy([...flags, cacert()]);
      await logged(proxy, "failed (keeping known endpoints)");
      expect(proxy.stderr).toMatch(/it (refuses the|demands a) client certificate/);
      expect(proxy.stderr).not.toContain("--cert-file");
    });

    test("accepts any certificate only with --insecure-skip-tls-verify", async () => {
      const etcd = await scene.etcd({ flags: () => ["--auto-tls"] });
      const flags = [`--endpoints=${localhost(etcd)}`, "--endpoints-auto-sync-interval=100ms"];
      const safe = await scene.proxy([...flags, cacert()]);
      await logged(safe, "failed (keeping known endpoints)");
      expect(safe.lines("endpoints changed")).toEqual([]);

      const unsafe = await scene.proxy([...flags, "--insecure-skip-tls-verify"]);
      await unsafe.logged("endpoints changed");
      expect((await put(await scene.connect(unsafe.address))).status).toBe(0);
    });
  });

  test("--health-url=https verifies as --cacert and --insecure-skip-tls-verify say", async () => {
    // The calls take another way, so that only the checks depend on TLS.
    const etcd = await scene.etcd({
      scheme: "http",
      flags: (port) => [
        `--listen-metrics-urls=https://127.0.0.1:${port}`,
        ...[`--cert-file=${server.cert}`, `--key-file=${server.key}`],
      ],
    });
    const flags = [
      `--endpoints=http://${etcd.address}`,
      `--health-url=https://{host}:${etcd.metricsPort}/health`,
      ...["--health-interval=100ms", "--health-timeout=300ms"],
      ...["--health-fall=1", "--health-rise=1"],
    ];
    const bad = await scene.proxy([...flags, `--cacert=${scene.stranger.cert}`]);
    expect((await bad.logged("endpoint is unhealthy"))["error"]).toBe(
      "its certificate is signed by an unknown authority",
    );
    // Checks decide about preference only.
    expect((await put(await scene.connect(bad.address))).status).toBe(0);

    const good = [
      await scene.proxy([...flags, cacert()]),
      await scene.proxy([...flags, "--insecure-skip-tls-verify"]),
    ];
    etcd.signal("SIGSTOP");
    for (const proxy of good) await proxy.logged("endpoint is unresponsive");
    etcd.signal("SIGCONT");
    for (const proxy of good) await proxy.logged("endpoint is healthy again");
    for (const proxy of good) expect(proxy.lines("endpoint is unhealthy")).toEqual([]);
  });

  describe("a Unix socket as the endpoint", () => {
    test("carries calls and watches, and its loss is detected", async () => {
      const etcd = await scene.etcd({ scheme: "http" });
      const path = join(folder, "plain");
      const relay = scene.add(await UnixRelay.start(path, etcd.port));
      const proxy = await scene.proxy([`--endpoints=unix://${path}`]);
      const { status, stdout } = await etcdctl(proxy.address, ["put", "k", "v"]);
      expect([status, stdout]).toEqual([0, "OK\n"]);
      const through = await scene.connect(proxy.address);
      const watch = through.open(Watch.Watch);
      watch.send({ create: { key: "k" } });
      expect((await watch.next()).created).toBe(true);

      relay.close();
      expect((await watch.ended()).status).toBe(14);
      const { status: lost, message } = await put(through);
      expect([lost, message]).toEqual([14, expect.stringContaining(`dial unix ${path}`)]);

      scene.add(await UnixRelay.start(path, etcd.port));
      await putPasses(through);
    });

    test("gets calls for the authority localhost, as from gRPC's clients", async () => {
      const upstream = scene.add(await GrpcUpstream.start());
      const path = join(folder, "authority");
      scene.add(await UnixRelay.start(path, Number(upstream.address.split(":")[1])));
      const proxy = await scene.proxy([`--endpoints=unix://${path}`]);
      upstream.onCall = (call) => call.refuse({ "grpc-status": "5" });
      expect((await put(await scene.connect(proxy.address))).status).toBe(5);
      const calls = upstream.calls.filter((call) => call.path === KV.Put.path);
      expect(calls.map((call) => call.values(":authority"))).toEqual([["localhost"]]);
    });

    test("may be relative to the working directory", async () => {
      const etcd = await scene.etcd({ scheme: "http" });
      scene.add(await UnixRelay.start(join(folder, "relative:0"), etcd.port));
      const proxy = await scene.proxy(["--endpoints=unix://relative:0"], { cwd: folder });
      const through = await scene.connect(proxy.address);
      expect((await put(through)).status).toBe(0);
      expect((await through.call(KV.Range, { key: "k" })).kvs).toHaveLength(1);
    });

    test("is verified by the name of its file over TLS, as in etcd", async () => {
      const served = await scene.serverPair(scene.authority, ["DNS:member.test"]);
      const etcd = await scene.secureEtcd(served);
      for (const file of ["member.test:2379", "other.test:2379"])
        scene.add(await UnixRelay.start(join(folder, file), etcd.port));
      const unixs = (file: string) => [`--endpoints=unixs://${join(folder, file)}`, cacert()];

      const good = await scene.proxy(unixs("member.test:2379"));
      expect((await put(await scene.connect(good.address))).status).toBe(0);
      expect(downErrors(good.log)).toEqual([]);

      const bad = await scene.proxy(unixs("other.test:2379"));
      const { status, message } = await put(await scene.connect(bad.address));
      expect([status, message]).toEqual([14, expect.stringContaining("ERR_TLS_CERT_ALTNAME_INVALID")]);
      expect(message).toContain(`: dial unix ${join(folder, "other.test:2379")}: TLS: `);
    }); // prettier-ignore
  });
});
