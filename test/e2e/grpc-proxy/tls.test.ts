// TLS between the gRPC proxy and etcd: which members it accepts, what it shows them, and
// what calls get while it accepts none.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { KV } from "../../support/etcd-rpcs.ts";
import { etcdctl } from "../../support/etcdctl.ts";
import { eventually, run } from "../../support/gateway-command.ts";
import { gatewayBinary } from "../../support/gateway-process.ts";
import {
  downErrors,
  GrpcProxyTlsScene,
  put,
  putPasses,
  releases,
  replace,
} from "../../support/grpc-proxy-tls-scene.ts";
import { isBefore } from "../../support/grpc-proxy-scene.ts";
import type { KeyPair } from "../../support/tls-certificates.ts";

setDefaultTimeout(60_000);

describe.each(releases)("our gRPC proxy, etcd %s over TLS,", (_, release) => {
  const scene = new GrpcProxyTlsScene(release);
  let server: KeyPair;
  let client: KeyPair;
  beforeAll(async () => {
    await scene.start();
    server = await scene.serverPair();
    client = await scene.clientPair();
  });
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  const cacert = () => `--cacert=${scene.authority.cert}`;
  const pairFlags = ({ cert, key }: KeyPair) => [`--cert=${cert}`, `--key=${key}`];

  test("reaches a member that requires client certificates by --cacert, --cert and --key", async () => {
    const etcd = await scene.secureEtcd(server, scene.authority.cert);
    const flags = [`--endpoints=${etcd.address}`, cacert(), ...pairFlags(client)];
    const proxy = await scene.proxy(flags);
    const { status, stdout } = await etcdctl(proxy.address, ["put", "k", "through"]);
    expect([status, stdout]).toEqual([0, "OK\n"]);
    const direct = await scene.connect(etcd.address, scene.clientTls(client));
    const { kvs } = await direct.call(KV.Range, { key: "k" });
    expect(Buffer.from(kvs![0]!.value!).toString()).toBe("through");
  });

  test("needs no client certificate with --cacert, unlike etcd's proxy since 3.5", async () => {
    const etcd = await scene.secureEtcd(server);
    const flags = [`--endpoints=${etcd.address}`, cacert()];
    const through = await scene.connect((await scene.proxy(flags)).address);
    expect((await put(through)).status).toBe(0);

    if (isBefore(release.name, "3.5")) return;
    const control = await run([release.etcd, "grpc-proxy", "start", ...flags]);
    expect(control.status).toBe(1);
    expect(control.stdout + control.stderr).toContain("open : no such file or directory");
  });

  test("accepts etcd's --auto-tls with --insecure-skip-tls-verify only", async () => {
    const etcd = await scene.etcd({ flags: () => ["--auto-tls"] });
    const flags = [`--endpoints=https://${etcd.address}`];
    const unsafe = await scene.proxy([...flags, "--insecure-skip-tls-verify"]);
    expect((await put(await scene.connect(unsafe.address))).status).toBe(0);
    const warning = unsafe.log.find(({ msg }) => msg.includes("--insecure-skip-tls-verify"));
    expect(warning?.level).toBe("warn");

    const safe = await scene.proxy([...flags, cacert()]);
    const { status, message } = await put(await scene.connect(safe.address));
    expect([status, message]).toEqual([14, expect.stringContaining("UNABLE_TO_GET_ISSUER_CERT")]);
  });

  const BAD: readonly [title: string, code: string, issue: () => Promise<KeyPair>][] = [
    [
      "that has expired",
      "CERT_HAS_EXPIRED",
      () => scene.authority.issue("expired", { period: "past" }),
    ],
    [
      "for another name",
      "ERR_TLS_CERT_ALTNAME_INVALID",
      () => scene.serverPair(scene.authority, ["DNS:other.test"]),
    ],
    ["of another CA", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", () => scene.serverPair(scene.stranger)],
  ];
  for (const [title, code, issue] of BAD)
    test(`a certificate ${title} takes the member down until it is renewed`, async () => {
      const served = await scene.serverPair();
      const etcd = await scene.secureEtcd(served);
      const proxy = await scene.proxy([`--endpoints=https://${etcd.address}`, cacert()]);
      const through = await scene.connect(proxy.address);
      expect((await put(through)).status).toBe(0);

      await replace(served, await issue());
      await etcd.restart();
      await eventually(
        async () => downErrors(proxy.log).some((error) => error.includes(code)) || undefined,
        "the reason was logged",
      );
      const lines = proxy.log.length;
      const answers = await Promise.all([put(through), put(through)]);
      for (const { status, message } of answers)
        expect([status, message]).toEqual([14, expect.stringContaining(code)]);
      // One that is down stays so, although it accepts TCP connections.
      expect(proxy.log.slice(lines)).toEqual([]);

      await replace(served, await scene.serverPair());
      await putPasses(through);
    });

  test("uses renewed files of --cert and --key for its next connection", async () => {
    const own = await scene.clientPair();
    const etcd = await scene.secureEtcd(server, scene.authority.cert);
    const flags = [`--endpoints=https://${etcd.address}`, cacert(), ...pairFlags(own)];
    const proxy = await scene.proxy(flags);
    const through = await scene.connect(proxy.address);
    expect((await put(through)).status).toBe(0);

    await replace(own, await scene.clientPair(scene.stranger));
    expect((await put(through)).status).toBe(0);
    await etcd.restart();
    await eventually(
      async () => downErrors(proxy.log).some((error) => /ALERT/.test(error)) || undefined,
      "etcd's alert was logged",
    );
    const { status, message } = await put(through);
    expect([status, message]).toEqual([14, expect.stringMatching(/ALERT_(BAD_CERT|UNKNOWN_CA)/)]);

    await replace(own, await scene.clientPair());
    await putPasses(through);
  });

  test("without --cert, a member that requires one is down, and calls name the reason", async () => {
    const etcd = await scene.secureEtcd(server, scene.authority.cert);
    const proxy = await scene.proxy([`--endpoints=https://${etcd.address}`, cacert()]);
    const { status, message } = await put(await scene.connect(proxy.address));
    expect([status, message]).toEqual([14, expect.stringMatching(/ALERT_(BAD_CERT|CERTIFICATE_REQ)|CERTIFICATE_REQUIRED/)]);
  }); // prettier-ignore

  test("a certificate with a common name ends the start, in etcd's words", async () => {
    const named = await scene.authority.issue("root");
    const flags = ["--endpoints=https://127.0.0.1:1", cacert(), ...pairFlags(named)];
    const ours = await run([gatewayBinary(), "grpc-proxy", "start", ...flags]);
    const etcds = await run([release.etcd, "grpc-proxy", "start", ...flags]);
    expect([ours.status, etcds.status]).toEqual([1, 1]);
    const words = /cert has non empty Common Name \([^)]*\)/;
    const [found] = words.exec(ours.stdout + ours.stderr)!;
    expect(found).toBe("cert has non empty Common Name (root)");
    expect(etcds.stdout + etcds.stderr).toContain(found);
  });

  test("each endpoint has its own scheme", async () => {
    const secure = await scene.secureEtcd(server);
    const plain = await scene.etcd({ scheme: "http" });
    const endpoints = `--endpoints=http://${plain.address},https://${secure.address}`;
    const proxy = await scene.proxy([endpoints, cacert()]);
    const through = await scene.connect(proxy.address);
    // The clusters are two, so that each answer shows which one it is from.
    const clusters = new Set<bigint | number | undefined>();
    await eventually(async () => {
      clusters.add((await through.call(KV.Range, { key: "k" })).header!.clusterId);
      return clusters.size === 2 || undefined;
    }, "both members answered");
    for (let i = 0; i < 8; i++) expect((await put(through)).status).toBe(0);
    expect(downErrors(proxy.log)).toEqual([]);
  });

  test("a scheme that the member does not speak takes it down, and calls name the reason", async () => {
    const secure = await scene.secureEtcd(server);
    const plain = await scene.etcd({ scheme: "http" });
    for (const [endpoint, reason] of [
      [`http://${secure.address}`, /HTTP\/2: /],
      [
        `https://${plain.address}`,
        /TLS: it closed the connection \(does only one side use TLS\?\)/,
      ],
    ] as const) {
      const proxy = await scene.proxy([`--endpoints=${endpoint}`, cacert()]);
      const { status, message } = await put(await scene.connect(proxy.address));
      expect([status, message]).toEqual([14, expect.stringMatching(reason)]);
      expect(proxy.lines("activated")).toEqual([]);
    }
  });
});
