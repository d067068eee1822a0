// Endpoints that SRV records name, verified by TLS handshakes with real
// certificates of every kind, by the compiled gateway.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { DnsServer, type SrvLine } from "../support/dns-server.ts";
import { Closers, output, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { Authority, type IssueOptions, type KeyPair } from "../support/tls-certificates.ts";
import { TlsServer, type TlsServerOptions } from "../support/tls-server.ts";

setDefaultTimeout(60_000);

const NOT_USED = "rejected endpoint (checked again at each refresh)";
const VALIDATED = "using validated discovered SRV endpoints";

const shared = new Closers();
afterAll(() => shared.close());
const closers = new Closers();
afterEach(() => closers.close());

let authority: Authority;
let other: Authority;
let count = 0;
beforeAll(async () => {
  authority = shared.add(await Authority.create());
  other = shared.add(await Authority.create());
});

const issue = (options?: IssueOptions, by = authority): Promise<KeyPair> =>
  by.issue(`server${count++}`, options);
const serverWith = async (options?: IssueOptions, rest?: TlsServerOptions) =>
  closers.add(await TlsServer.start(await issue(options), rest));

const ssl = (target: string, { port }: { port: number }): SrvLine => ({
  name: "_etcd-client-ssl._tcp.a.test",
  target,
  port,
});
const HOSTS = {
  "m1.a.test": ["127.0.0.1"],
  "m2.a.test": ["127.0.0.1"],
  "m.b.test": ["127.0.0.1"],
};

async function launch(srv: readonly SrvLine[], flags: readonly string[] = [], hosts = HOSTS) {
  const dns = closers.add(await DnsServer.start({ srv, hosts }));
  const gateway = closers.add(
    await GatewayProcess.launch("ours", [
      ...["--discovery-srv=a.test", `--discovery-servers=${dns.address}`, "--dial-timeout=1s"],
      ...[`--trusted-ca-file=${authority.cert}`, "--discovery-refresh-interval=200ms", ...flags],
    ]),
  );
  return { dns, gateway };
}

describe("an endpoint is used whose certificate", () => {
  const rows: [what: string, target: string, options: IssueOptions][] = [
    ["is for the discovery domain", "m1.a.test", { names: ["DNS:a.test"] }],
    ["is for its target inside the domain", "m1.a.test", { names: ["DNS:m1.a.test"] }],
    ["is for all names of the domain", "m1.a.test", { names: ["DNS:*.a.test"] }],
    [
      "is signed by an authority in between, which it shows",
      "m1.a.test",
      { names: ["DNS:a.test"], intermediate: "shown" },
    ],
    ["is for the domain, though its target lies outside", "m.b.test", { names: ["DNS:a.test"] }],
  ];
  test.each(rows)("%s", async (_, target, options) => {
    const server = await serverWith(options);
    const { gateway } = await launch([ssl(target, server)]);
    expect(gateway.status).toBeUndefined();
    expect(gateway.lines(VALIDATED)).toMatchObject([
      { level: "info", "srv-server": "a.test", endpoints: [`https://${target}:${server.port}`] },
    ]);
  });

  test("is good, though it demands one of its clients", async () => {
    const options = { clientCa: authority.cert };
    const server = await serverWith({ names: ["DNS:a.test"] }, options);
    const { gateway } = await launch([ssl("m1.a.test", server)]);
    expect(gateway.lines(VALIDATED)).toHaveLength(1);
  });

  test("is good, under TLS 1.2, to which it is shown --cert-file", async () => {
    const client = await issue();
    const options = { clientCa: authority.cert, maxVersion: "TLSv1.2" } as const;
    const server = await serverWith({ names: ["DNS:a.test"] }, options);
    const flags = [`--cert-file=${client.cert}`, `--key-file=${client.key}`];
    const { gateway } = await launch([ssl("m1.a.test", server)], flags);
    expect(gateway.lines(VALIDATED)).toHaveLength(1);
  });
});

describe("an endpoint is not used", () => {
  type Make = () => Promise<{ port: number }>;
  const rows: [what: string, make: Make, why: string, target?: string][] = [
    ["whose certificate has expired", () => serverWith({ names: ["DNS:a.test"], period: "past" }), "its certificate has expired"],
    ["whose certificate is not yet valid", () => serverWith({ names: ["DNS:a.test"], period: "future" }), "its certificate is not yet valid"],
    ["whose authority in between is not shown", () => serverWith({ names: ["DNS:a.test"], intermediate: "missing" }), "its certificate is signed by an unknown authority"],
    ["whose certificate is for another name", () => serverWith({ names: ["DNS:b.test"] }), 'its certificate is for another name than "m1.a.test" (it holds DNS:b.test)'],
    ["whose certificate is for a target outside the domain", () => serverWith({ names: ["DNS:m.b.test"] }), 'its certificate is for another name than "a.test" (it holds DNS:m.b.test)', "m.b.test"],
    ["whose certificate says its name in the subject alone", () => serverWith({ names: ["email:a@a.test"] }), "its certificate is for another name"],
    ["whose certificate is for its address only", () => serverWith({ names: ["IP:127.0.0.1"] }), 'its certificate is for another name than "m1.a.test"'],
    ["whose certificate is self-signed", () => serverWith({ names: ["DNS:a.test"], isSelfSigned: true }), "its certificate is self-signed and not trusted"],
    ["whose authority is another", async () => closers.add(await TlsServer.start(await issue({ names: ["DNS:a.test"] }, other))), "its certificate is signed by an unknown authority"],
    ["that does not speak TLS", async () => closers.add(await TlsServer.plaintext()), "it does not speak TLS"],
    ["that says nothing", async () => closers.add(await TlsServer.mute()), "no answer in time"],
    ["that refuses", () => Promise.resolve({ port: 1 }), "connection refused"],
    ["that does not resolve", () => Promise.resolve({ port: 1 }), "it does not resolve (ENOTFOUND)", "gone.a.test"],
  ]; // prettier-ignore
  test.each(rows)(
    "%s, and the start says why and ends",
    async (_, make, why, target = "m1.a.test") => {
      const server = await make();
      const { gateway } = await launch([ssl(target, server)]);
      expect(gateway.status).toBe(1);
      const address = `${target}:${server.port}`;
      expect(gateway.lines(NOT_USED)).toMatchObject([
        { level: "warn", address, from: "SRV", error: expect.stringContaining(why) },
      ]);
      expect(gateway.log.at(-1)).toMatchObject({
        level: "error",
        msg: 'Cannot use what --discovery-srv "a.test" names: no endpoint passed; see the lines before',
      });
    },
  );

  test("beside one that passed, who gets all clients", async () => {
    const good = await serverWith({ names: ["DNS:a.test"] });
    const bad = closers.add(await TlsServer.start(await issue({ names: ["DNS:a.test"] }, other)));
    const { gateway } = await launch([ssl("m1.a.test", good), ssl("m2.a.test", bad)]);
    const before = bad.connections;
    for (let i = 0; i < 6; i++) await throughTls(gateway.port);
    // It is tried again at each refresh, but no client is ever sent there.
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { endpoints: [`m1.a.test:${good.port}`] },
    ]);
    expect(before).toBeGreaterThanOrEqual(1);
  });
});

describe("nothing is replaced in silence", () => {
  test("a plain record is dropped with a warning that names it", async () => {
    const good = await serverWith({ names: ["DNS:a.test"] });
    const plain = closers.add(await TlsServer.plaintext());
    const { gateway } = await launch([
      ssl("m1.a.test", good),
      { ...ssl("m2.a.test", plain), name: "_etcd-client._tcp.a.test" },
    ]);
    const message = "ignored unauthenticated SRV records (--insecure-discovery accepts them)";
    expect(gateway.lines(message)).toMatchObject([
      { level: "warn", "srv-server": "a.test", endpoints: [`http://m2.a.test:${plain.port}`] },
    ]);
    expect(plain.connections).toBe(0);
  });

  test("what --endpoints names is used with a warning if nothing passed", async () => {
    const bad = closers.add(await TlsServer.start(await issue({ names: ["DNS:b.test"] })));
    const { gateway } = await launch([ssl("m1.a.test", bad)], ["--endpoints=127.0.0.1:1"]);
    expect(gateway.status).toBeUndefined();
    const message = "SRV discovery failed (using --endpoints until it succeeds)";
    expect(gateway.lines(message)).toMatchObject([{ level: "warn", endpoints: ["127.0.0.1:1"] }]);
  });
});

describe("while it runs", () => {
  test("an endpoint that has come to pass is used, one that is new is verified, one that stays is not again", async () => {
    const first = await serverWith({ names: ["DNS:a.test"] });
    const { dns, gateway } = await launch([ssl("m1.a.test", first)]);
    const handshakes = first.connections;
    const late = closers.add(await TlsServer.start(await issue({ names: ["DNS:b.test"] })));
    await dns.change({ srv: [ssl("m1.a.test", first), ssl("m2.a.test", late)], hosts: HOSTS });
    await gateway.logged(NOT_USED);
    const { port } = late;
    late.close();
    closers.add(await TlsServer.start(await issue({ names: ["DNS:m2.a.test"] }), { port }));
    expect(await gateway.logged("endpoints changed")).toMatchObject({
      added: [`m2.a.test:${port}`],
      removed: [],
    });
    expect(first.connections).toBe(handshakes);
  });

  test("a renewed CA file is taken for the next handshake", async () => {
    const good = await serverWith({ names: ["DNS:a.test"] });
    const ca = `${authority.cert}.copy`;
    await Bun.write(ca, await Bun.file(authority.cert).text());
    const { dns, gateway } = await launch([ssl("m1.a.test", good)], [`--trusted-ca-file=${ca}`]);
    const both = (await Bun.file(authority.cert).text()) + (await Bun.file(other.cert).text());
    await Bun.write(ca, both);
    const foreign = closers.add(
      await TlsServer.start(await issue({ names: ["DNS:a.test"] }, other)),
    );
    await dns.change({ srv: [ssl("m1.a.test", good), ssl("m2.a.test", foreign)], hosts: HOSTS });
    expect(await gateway.logged("endpoints changed")).toMatchObject({
      added: [`m2.a.test:${foreign.port}`],
    });
  });
});

describe("the traffic", () => {
  test("is the client's own TLS, end to end", async () => {
    const server = await serverWith({ names: ["DNS:a.test"] });
    const { gateway } = await launch([ssl("m1.a.test", server)]);
    expect(await throughTls(gateway.port)).toContain("subject=CN = server");
  });
});

describe("the system's store", () => {
  test("is asked when no CA file is named", async () => {
    const server = await serverWith({ names: ["DNS:a.test"] });
    const dns = closers.add(
      await DnsServer.start({ srv: [ssl("m1.a.test", server)], hosts: HOSTS }),
    );
    const flags = ["check", "--discovery-srv=a.test", `--discovery-servers=${dns.address}`];
    const unknown = await run([gatewayBinary(), ...flags]);
    expect([unknown.status, unknown.stdout]).toEqual([
      1,
      expect.stringContaining("no: its certificate is signed by an unknown authority"),
    ]);
    const known = await run([gatewayBinary(), ...flags], {
      env: { SSL_CERT_FILE: authority.cert },
    });
    expect([known.status, known.stdout]).toEqual([0, expect.stringContaining("all is well")]);
  });
});

test("no environment variable of the runtime weakens the verification", async () => {
  const bad = await issue({ names: ["DNS:a.test"], isSelfSigned: true });
  const server = closers.add(await TlsServer.start(bad));
  const dns = closers.add(await DnsServer.start({ srv: [ssl("m1.a.test", server)], hosts: HOSTS }));
  const flags = ["--discovery-srv=a.test", `--discovery-servers=${dns.address}`];
  const ca = `--trusted-ca-file=${authority.cert}`;
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", NODE_EXTRA_CA_CERTS: bad.cert };
  const { status, stdout } = await run([gatewayBinary(), "check", ...flags, ca], { env });
  expect([status, stdout]).toEqual([1, expect.stringContaining("its certificate is self-signed")]);
});

/** What openssl sees of the server behind the gateway. */
function throughTls(port: number): Promise<string> {
  const words = `s_client -connect 127.0.0.1:${port} -servername a.test -CAfile ${authority.cert}`;
  return output([
    "openssl",
    ...words.split(" "),
    "-verify_return_error",
    "-verify_hostname",
    "a.test",
  ]);
}
