// TLS of the gRPC proxy, towards clients and members, and what it reports when one side has
// no TLS or another certificate.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type ClusterTls, EtcdCluster, etcdctl } from "../../support/etcd-cluster.ts";
import { Closers } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import { subjects } from "../../support/grpc-proxy-scene.ts";
import { until } from "../../support/peer.ts";
import { Authority, type KeyPair } from "../../support/tls-certificates.ts";
import { TlsServer } from "../../support/tls-server.ts";

setDefaultTimeout(60_000);

const [[, subject]] = subjects as [(typeof subjects)[0]];
/** Probes of an endpoint that is down; each used to mark it up and down again. */
const PROBES = 6;

describe.if(subject.kind === "ours")("grpc-proxy start", () => {
  const closers = new Closers();
  let authority: Authority;
  let server: KeyPair;
  let client: KeyPair;

  beforeAll(async () => {
    authority = closers.add(await Authority.create());
    server = await authority.issue("server");
    // etcd's empty-CN rule.
    client = await authority.certify("client", {
      section: "client",
      signer: authority.pair,
      subject: "",
    });
  });
  afterAll(() => closers.close());

  const start = async (...flags: string[]): Promise<GatewayProcess> =>
    closers.add(await startGrpcProxy(subject, flags));

  describe("with members that speak TLS", () => {
    let cluster: EtcdCluster;
    let files: ClusterTls;

    beforeAll(async () => {
      const [ca, cert, key] = [authority.cert, server.cert, server.key];
      files = { ca, cert, key, clientCert: client.cert, clientKey: client.key };
      cluster = closers.add(await EtcdCluster.start(1, files, { program: subject.release.etcd }));
    });

    const through = (proxy: GatewayProcess, scheme: string, ...args: string[]) =>
      etcdctl(`${scheme}${proxy.address}`, args);

    test("serves clients with and without TLS", async () => {
      const members = [
        ...[`--endpoints=https://${cluster.endpoints}`, `--cacert=${files.ca}`],
        ...[`--cert=${client.cert}`, `--key=${client.key}`],
      ];
      const plain = await start(...members);
      const put = await through(plain, "", "put", "k", "v");
      expect([put.status, put.stdout]).toEqual([0, "OK\n"]);

      const secure = await start(
        ...[...members, `--cert-file=${server.cert}`, `--key-file=${server.key}`],
        `--trusted-ca-file=${files.ca}`,
      );
      const own = [`--cacert=${files.ca}`, `--cert=${client.cert}`, `--key=${client.key}`];
      const get = await through(secure, "https://", ...own, "get", "k");
      expect([get.status, get.stdout]).toEqual([0, "k\nv\n"]);

      // A client of HTTP/1.1, to which ALPN offers it.
      const [ca, cert, key] = [files.ca, client.cert, client.key].map((file) =>
        readFileSync(file, "utf8"),
      ) as [string, string, string];
      const response = await fetch(`https://${secure.address}/proxy/health`, {
        tls: { ca, cert, key },
      });
      expect(await response.json()).toEqual({ health: "true", reason: "" });
    });

    test("reports that a member demands a client certificate", async () => {
      const proxy = await start(`--endpoints=https://${cluster.endpoints}`, `--cacert=${files.ca}`);
      const { error } = await proxy.logged("deactivated endpoint");
      expect(error).toContain("it refuses the client certificate, or demands one");
    });
  });

  const REFUSALS: readonly [
    title: string,
    createServer: () => Promise<TlsServer>,
    createFlags: (address: string) => string[],
    error: string,
  ][] = [
    [
      "a certificate of an unknown authority",
      () => TlsServer.start(server),
      (address) => [`--endpoints=https://${address}`, `--cacert=${client.cert}`],
      "TLS: its certificate is signed by an unknown authority (UNABLE_TO_GET_ISSUER_CERT_LOCALLY)",
    ],
    [
      "TLS and no HTTP/2",
      () => TlsServer.start(server),
      (address) => [`--endpoints=https://${address}`, `--cacert=${authority.cert}`],
      "TLS: the server does not offer HTTP/2",
    ],
    [
      "no TLS",
      () => TlsServer.plaintext(),
      (address) => [`--endpoints=https://${address}`, `--cacert=${authority.cert}`],
      "TLS: it does not speak TLS (ERR_SSL_WRONG_VERSION_NUMBER)",
    ],
    [
      "TLS at an endpoint without https://",
      () => TlsServer.start(server),
      (address) => [`--endpoints=http://${address}`],
      "if the member speaks TLS, its endpoint must begin with https://",
    ],
  ];

  test.each(REFUSALS)(
    "logs once, not at each probe, a member with %s",
    async (_title, createServer, createFlags, error) => {
      const member = closers.add(await createServer());
      const proxy = await start("--retry-delay=20ms", ...createFlags(`127.0.0.1:${member.port}`));
      await until(() => member.connections > PROBES, "the member was probed");
      const [line, ...more] = proxy.lines("deactivated endpoint");
      expect(line!["error"]).toContain(error);
      expect([more, proxy.lines("activated")]).toEqual([[], []]);
    },
  );

  test("logs a client that speaks TLS to a listener without it, and the reverse", async () => {
    const plain = await start("--endpoints=127.0.0.1:1");
    const secure = await start(
      ...["--endpoints=127.0.0.1:1", `--cert-file=${server.cert}`, `--key-file=${server.key}`],
      `--trusted-ca-file=${authority.cert}`,
    );
    const address = (scheme: string, { address }: GatewayProcess) => `${scheme}://${address}/`;
    const visits: readonly [string, GatewayProcess, string][] = [
      [address("https", plain), plain, "the client speaks TLS; set --cert-file and --key-file"],
      [address("http", secure), secure, "the peer speaks HTTP without TLS"],
      [address("https", secure), secure, "peer did not return a certificate"],
    ];
    for (const [url, proxy, error] of visits) {
      await fetch(url, { tls: { rejectUnauthorized: false } }).catch(() => undefined);
      const isThis = (line: { readonly [field: string]: unknown }) =>
        String(line["error"]).includes(error);
      expect(await proxy.logged("rejected connection", isThis)).toMatchObject({
        client: "127.0.0.1",
      });
    }
  });
});
