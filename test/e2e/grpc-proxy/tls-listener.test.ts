// The TLS listener of the gRPC proxy: which clients it admits, by which files, versions and
// cipher suites, and what happens when the files change.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { Watch } from "../../support/etcd-rpcs.ts";
import { etcdctl } from "../../support/etcdctl.ts";
import { requireTool, run } from "../../support/gateway-command.ts";
import { gatewayBinary, type GatewayProcess } from "../../support/gateway-process.ts";
import { GrpcProxyTlsScene, put, releases, replace } from "../../support/grpc-proxy-tls-scene.ts";
import { until } from "../../support/peer.ts";
import type { SingleEtcd } from "../../support/single-etcd.ts";
import type { KeyPair } from "../../support/tls-certificates.ts";

setDefaultTimeout(60_000);

const CHANGED = "files of the listener changed";

describe.each(releases.slice(0, 1))(
  "the TLS listener of our gRPC proxy, etcd %s,",
  (_, release) => {
    const scene = new GrpcProxyTlsScene(release);
    let etcd: SingleEtcd;
    let server: KeyPair;
    let folder: string;
    beforeAll(async () => {
      await scene.start();
      server = await scene.serverPair();
      folder = mkdtempSync(join(tmpdir(), "etcd-gateway-tls-listener-"));
      etcd = await scene.sharedEtcd({ scheme: "http" });
    });
    afterEach(() => scene.endTest());
    afterAll(async () => {
      await scene.close();
      rmSync(folder, { recursive: true, force: true });
    });

    const listen = (flags: readonly string[], { cert, key } = server) =>
      scene.proxy([
        `--endpoints=${etcd.address}`,
        `--cert-file=${cert}`,
        `--key-file=${key}`,
        ...flags,
      ]);

    /** Whether a client with this pair can call. */
    async function isAdmitted({ address }: GatewayProcess, pair?: KeyPair): Promise<boolean> {
      try {
        return (await put(await scene.connect(address, scene.clientTls(pair)))).status === 0;
      } catch {
        return false;
      }
    }

    /** Returns the certificate that a client is shown. */
    async function servedBy({ port }: GatewayProcess): Promise<string> {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const socket = tls.connect({
        port,
        host: "127.0.0.1",
        ca: readFileSync(scene.authority.cert),
      });
      socket.on("secureConnect", () => resolve(socket.getPeerCertificate().serialNumber));
      socket.on("error", reject);
      return await promise.finally(() => socket.destroy());
    }

    /** Returns what openssl agreed on: version and cipher suite; "refused" if the handshake failed. */
    async function agreed({ address }: GatewayProcess, ...flags: string[]): Promise<string> {
      const words = [requireTool("openssl"), "s_client", "-connect", address, "-brief"];
      const { stdout, stderr } = await run([...words, "-CAfile", scene.authority.cert, ...flags]);
      const [version, suite] = [/Protocol version: (\S+)/, /Ciphersuite: (\S+)/].map(
        (pattern) => pattern.exec(stdout + stderr)?.[1],
      );
      return version === undefined ? "refused" : `${version} ${suite}`;
    }

    test("serves etcdctl and gRPC clients with --cert-file and --key-file", async () => {
      const proxy = await listen([]);
      const trust = `--cacert=${scene.authority.cert}`;
      const { status, stdout } = await etcdctl(`https://${proxy.address}`, [
        trust,
        "put",
        "k",
        "v",
      ]);
      expect([status, stdout]).toEqual([0, "OK\n"]);
      expect(await isAdmitted(proxy)).toBe(true);
      expect(await agreed(proxy)).toStartWith("TLSv1.3 ");
      expect(proxy.lines("gRPC proxy server TLS")).toHaveLength(1);
    });

    test("--trusted-ca-file admits clients of that CA only, and logs the others once a second", async () => {
      const proxy = await listen([`--trusted-ca-file=${scene.authority.cert}`]);
      expect(await isAdmitted(proxy, await scene.authority.issue("any common name"))).toBe(true);
      expect(await isAdmitted(proxy, await scene.clientPair())).toBe(true);

      const foreign = await scene.clientPair(scene.stranger);
      const expired = await scene.authority.issue("expired", { period: "past" });
      const COUNT = 20;
      for (let i = 0; i < COUNT - 2; i++) expect(await isAdmitted(proxy)).toBe(false);
      for (const pair of [foreign, expired]) expect(await isAdmitted(proxy, pair)).toBe(false);
      const rejected = () => proxy.lines("rejected connection");
      const total = () => rejected().reduce((sum, { count }) => sum + Number(count), 0);
      await until(() => total() === COUNT, "each refusal was counted");
      expect(rejected().length).toBeLessThan(COUNT);
      expect(rejected()[0]).toMatchObject({ level: "warn", client: "127.0.0.1" });
      expect(rejected()[0]!["error"]).toContain("PEER_DID_NOT_RETURN_A_CERTIFICATE");
      expect(await isAdmitted(proxy, await scene.clientPair())).toBe(true);
    });

    for (const form of ["der", "pem"] as const)
      test(`--client-crl-file in ${form.toUpperCase()} refuses revoked clients, also if it changes later`, async () => {
        const [first, second, third] = await Promise.all([1, 2, 3].map(() => scene.clientPair()));
        const list = join(folder, `list.${form}`);
        const revoke = async (name: string, pairs: KeyPair[]) =>
          copyFileSync(await scene.authority.revocationList(`${name}-${form}`, pairs, form), list);
        await revoke("one", [first!]);
        const proxy = await listen([
          `--trusted-ca-file=${scene.authority.cert}`,
          `--client-crl-file=${list}`,
        ]);
        expect(await isAdmitted(proxy, first)).toBe(false);
        expect(await isAdmitted(proxy, third)).toBe(true);
        const open = await scene.connect(proxy.address, scene.clientTls(second));
        expect((await put(open)).status).toBe(0);

        await revoke("two", [first!, second!]);
        await proxy.logged(CHANGED, ({ files }) => files === "revocation list");
        expect(await isAdmitted(proxy, second)).toBe(false);
        expect(await isAdmitted(proxy, third)).toBe(true);
        // As in etcd, a certificate is checked in the handshake only.
        expect((await put(open)).status).toBe(0);
        expect(proxy.lines("rejected connection")[0]!["error"]).toContain("revoked");
      });

    test("a renewed certificate is shown to the next client, while a watch of an earlier one goes on", async () => {
      const served = await scene.serverPair();
      const proxy = await listen([], served);
      const client = await scene.connect(proxy.address, scene.clientTls());
      const watch = client.open(Watch.Watch);
      watch.send({ create: { key: "k" } });
      await watch.next();
      const before = await servedBy(proxy);

      await replace(served, await scene.serverPair());
      await proxy.logged(CHANGED, ({ files }) => files === "certificate");
      expect(await servedBy(proxy)).not.toBe(before);
      expect(await isAdmitted(proxy)).toBe(true);
      expect((await watch.next()).events).toHaveLength(1);
    });

    test("files that cannot be used end the start, or leave the last ones in use", async () => {
    const broken = join(folder, "broken.pem");
    await Bun.write(broken, "no certificate");
    const flags = [`--endpoints=${etcd.address}`, "--listen-addr=127.0.0.1:0"];
    const words = [gatewayBinary(), "grpc-proxy", "start", ...flags];
    const { status, stderr } = await run([...words, `--cert-file=${broken}`, `--key-file=${server.key}`]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("it contains no CERTIFICATE in PEM")]);

    const served = await scene.serverPair();
    const proxy = await listen([], served);
    copyFileSync(broken, served.cert);
    await until(() => proxy.stderr.includes("the last valid files stay in use"), "the fault was logged");
    expect(await isAdmitted(proxy)).toBe(true);
  }); // prettier-ignore

    test("--tls-min-version and --tls-max-version bound the version", async () => {
      const newest = await listen(["--tls-min-version=TLS1.3"]);
      expect(await agreed(newest, "-tls1_2")).toBe("refused");
      expect(await agreed(newest)).toStartWith("TLSv1.3 ");
      const older = await listen(["--tls-max-version=TLS1.2"]);
      expect(await agreed(older, "-tls1_3")).toBe("refused");
      expect(await agreed(older)).toStartWith("TLSv1.2 ");
      expect(await isAdmitted(older)).toBe(true);
      const both = await listen([]);
      expect(await agreed(both, "-tls1_2")).toStartWith("TLSv1.2 ");
      expect(await agreed(both, "-tls1_1")).toBe("refused");
    });

    test("--listen-cipher-suites chooses those of TLS 1.2; an empty list is the default", async () => {
    const chosen = await listen(["--listen-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]);
    expect(await agreed(chosen, "-tls1_2")).toBe("TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384");
    expect(await agreed(chosen, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")).toBe("refused");
    expect(await agreed(chosen, "-tls1_3")).toStartWith("TLSv1.3 ");
    const empty = await listen(["--listen-cipher-suites="]);
    expect(await agreed(empty, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")).not.toBe("refused");
  }); // prettier-ignore

    test("--auto-tls creates a certificate that clients can trust, and keeps it", async () => {
      const data = join(folder, "data");
      const flags = [`--endpoints=${etcd.address}`, "--auto-tls", `--data-dir=${data}`];
      const first = await scene.proxy(flags);
      const [cert, key] = ["cert.pem", "key.pem"].map((file) => join(data, "fixtures/proxy", file));
      expect(statSync(key!).mode & 0o777).toBe(0o600);
      const trust = `--cacert=${cert}`;
      const calls = async ({ port }: GatewayProcess) => {
        for (const host of ["127.0.0.1", "localhost"])
          expect((await etcdctl(`https://${host}:${port}`, [trust, "get", "k"])).status).toBe(0);
        const client = await scene.connect(`127.0.0.1:${port}`, { ca: readFileSync(cert!) });
        expect((await put(client)).status).toBe(0);
      };
      await calls(first);
      const before = readFileSync(cert!, "utf8");
      first.signal("SIGTERM");
      expect(await first.exited()).toBe(0);

      await calls(await scene.proxy(flags));
      expect(readFileSync(cert!, "utf8")).toBe(before);
    });
  },
);
