// `etcd-gateway check` against a real cluster and a real DNS server: what it prints, and
// that it exits with 0 only if every check passed.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DnsServer } from "../support/dns-server.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { Closers, run } from "../support/gateway-command.ts";
import { gatewayBinary } from "../support/gateway-process.ts";
import { Authority } from "../support/tls-certificates.ts";
import { TlsServer } from "../support/tls-server.ts";

setDefaultTimeout(60_000);

const shared = new Closers();
afterAll(() => shared.close());
const closers = new Closers();
afterEach(() => closers.close());

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = shared.add(await EtcdCluster.start(1));
});

const check = (...flags: string[]) => run([gatewayBinary(), "check", ...flags]);
const member = () => cluster.members[0]!;

/** Replaces the durations, which differ between runs, and folds spaces. */
const withoutTimes = (text: string) =>
  text.replaceAll(/\([\d.]+ms\)/g, "(ms)").replaceAll(/ +/g, " ");

describe("check", () => {
  test("prints the source of each endpoint and the result of each check", async () => {
    const { status, stdout, stderr } = await check(`--endpoints=${member().address},127.0.0.1:1`);
    expect(withoutTimes(stdout).split("\n")).toEqual([
      "ENDPOINT FROM PRIORITY WEIGHT RESOLVES ACCEPTS VERIFIES",
      `${member().address} --endpoints 0 0 127.0.0.1 (ms) yes (ms) -`,
      "127.0.0.1:1 --endpoints 0 0 127.0.0.1 (ms) no: connection refused (ms) -",
      "not all is well",
      "",
    ]);
    expect([status, stderr]).toEqual([1, ""]);
  });

  test("exits with 0 if every check passed", async () => {
    const { status, stdout } = await check(`--endpoints=${member().address}`);
    expect([status, stdout.split("\n").at(-2)]).toEqual([0, "all is well"]);
  });

  test("prints the same facts as JSON with --output=json", async () => {
    const { status, stdout } = await check(
      ...["--output=json", "--endpoints-auto-sync-interval=1s"],
      `--endpoints=gone.invalid:1,${member().address}`,
    );
    const ms = expect.any(Number);
    const ok = (text: string) => ({ ok: true, ms, text });
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      endpoints: [
        {
          ...{ endpoint: "gone.invalid:1", from: "--endpoints", priority: 0, weight: 0 },
          resolves: { ok: false, ms, text: "ENOTFOUND" },
          ...{ accepts: null, verifies: null },
        },
        {
          ...{ endpoint: member().address, from: "--endpoints", priority: 0, weight: 0 },
          ...{ resolves: ok("127.0.0.1"), accepts: ok("yes"), verifies: null },
        },
      ],
      errors: [],
      warnings: [],
    });
    expect(status).toBe(1);
  });

  test("reads the member list, or reports why it cannot", async () => {
    const sync = "--endpoints-auto-sync-interval=1s";
    const port = new URL(`http://${member().address}`).port;
    const good = await check(sync, `--endpoints=localhost:${port}`);
    expect(withoutTimes(good.stdout)).toContain(
      `${member().address} member list 0 0 127.0.0.1 (ms) yes (ms) -`,
    );
    expect(good.status).toBe(0);

    const plain = closers.add(await TlsServer.plaintext());
    const failed = await check(sync, `--endpoints=127.0.0.1:${plain.port}`);
    expect(failed.stdout).toContain(
      `error: Cannot read the member list: 127.0.0.1:${plain.port}: HTTP 400`,
    );
    expect(failed.status).toBe(1);
  });

  test("verifies certificates of endpoints from SRV records, and reports a failed discovery", async () => {
    const authority = closers.add(await Authority.create());
    const good = closers.add(
      await TlsServer.start(await authority.issue("good", { names: ["DNS:a.test"] })),
    );
    const bad = closers.add(
      await TlsServer.start(
        await authority.issue("bad", { names: ["DNS:a.test"], period: "past" }),
      ),
    );
    const plain = closers.add(await TlsServer.plaintext());
    const ssl = {
      name: "_etcd-client-ssl._tcp.a.test",
      target: "m.a.test",
      priority: 1,
      weight: 2,
    };
    const dns = closers.add(
      await DnsServer.start({
        srv: [
          { ...ssl, port: good.port },
          { ...ssl, port: bad.port },
          { ...ssl, name: "_etcd-client._tcp.a.test", port: plain.port },
        ],
        hosts: { "m.a.test": ["127.0.0.1"] },
      }),
    );
    const flags = [`--discovery-servers=${dns.address}`, `--trusted-ca-file=${authority.cert}`];
    const { status, stdout } = await check("--discovery-srv=a.test", ...flags);
    const lines = withoutTimes(stdout).split("\n");
    const row = (port: number, verdict: string) =>
      `m.a.test:${port} SRV 1 2 127.0.0.1 (ms) yes (ms) ${verdict} (ms)`;
    expect(lines).toContain(row(good.port, "yes"));
    expect(lines).toContain(row(bad.port, "no: its certificate has expired"));
    expect(lines).toContain(row(plain.port, "no: not authenticated (plain service)"));
    expect(status).toBe(1);

    const failed = await check("--discovery-srv=b.test", ...flags);
    expect(failed.stdout).toContain(
      'error: Cannot discover endpoints by --discovery-srv "b.test": ',
    );
    expect(failed.status).toBe(1);
  });

  test("rejects an endpoint that is the gateway itself, with the exit status of start", async () => {
    const { status, stderr } = await check("--endpoints=127.0.0.1:23790");
    expect(stderr).toContain("this process's own --listen-addr");
    expect(status).toBe(2);
  });

  test("reads the config file, and rejects a broken one with status 2", async () => {
    const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-check-"));
    closers.defer(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "gw.yaml");
    writeFileSync(path, `endpoints:\n  - ${member().address}\n`);
    expect((await check(`--config-file=${path}`)).status).toBe(0);

    writeFileSync(path, "endpoint: a:1\n");
    const { status, stderr } = await check(`--config-file=${path}`);
    expect(stderr).toContain(
      `Cannot use "endpoint" in ${path} line 1: unknown key; did you mean "endpoints"?`,
    );
    expect(status).toBe(2);
  });

  test("does not listen, so the address may be in use", async () => {
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    closers.defer(() => other.stop(true));
    const flags = [`--listen-addr=127.0.0.1:${other.port}`, `--endpoints=${member().address}`];
    expect((await check(...flags)).status).toBe(0);
  });
});
