// Endpoints from SRV records, which the compiled gateway verifies by TLS handshakes: with
// real servers, and certificates of every kind.
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

const REJECTED = "rejected endpoint (checked again at each refresh)";
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

describe("--discovery-srv uses an endpoint whose certificate", () => {
  const rows: [what: string, target: string, options: IssueOptions][] = [
    ["is for the discovery domain", "m1.a.test", { names: ["DNS:a.test"] }],
    ["is for its target inside the domain", "m1.a.test", { names: ["DNS:m1.a.test"] }],
    ["is for all names of the domain", "m1.a.test", { names: ["DNS:*.a.test"] }],
    [
      "is signed by an intermediate CA that it sends",
      "m1.a.test",
      { names: ["DNS:a.test"], intermediate: "shown" },
    ],
    ["is for the domain, with a target outside of it", "m.b.test", { names: ["DNS:a.test"] }],
  ];
  test.each(rows)("%s", async (_, target, options) => {
    const server = await serverWith(options);
    const { gateway } = await launch([ssl(target, server)]);
    expect(gateway.status).toBeUndefined();
    expect(gateway.lines(VALIDATED)).toMatchObject([
      { level: "info", "srv-server": "a.test", endpoints: [`https://${target}:${server.port}`] },
    ]);
  });

  test("is valid, even if it requires a client certificate", async () => {
    const options = { clientCa: authority.cert };
    const server = await serverWith({ names: ["DNS:a.test"] }, options);
    const { gateway } = await launch([ssl("m1.a.test", server)]);
    expect(gateway.lines(VALIDATED)).toHaveLength(1);
  });

  test("is valid, even if it requires a client certificate under TLS 1.2, with --cert-file", async () => {
    const client = await issue();
    const options = { clientCa: authority.cert, maxVersion: "TLSv1.2" } as const;
    const server = await serverWith({ names: ["DNS:a.test"] }, options);
    const flags = [`--cert-file=${client.cert}`, `--key-file=${client.key}`];
    const { gateway } = await launch([ssl("m1.a.test", server)], flags);
    expect(gateway.lines(VALIDATED)).toHaveLength(1);
  });
});

describe("--discovery-srv rejects an endpoint", () => {
  type Make = () => Promise<{ port: number }>;
  const rows: [what: string, make: Make, reason: string, target?: string][] = [
    ["whose certificate has expired", () => serverWith({ names: ["DNS:a.test"], period: "past" }), "its certificate has expired"],
    ["whose certificate is not yet valid", () => serverWith({ names: ["DNS:a.test"], period: "future" }), "its certificate is not yet valid"],
    ["that does not send its intermediate CA", () => serverWith({ names: ["DNS:a.test"], intermediate: "missing" }), "its certificate is signed by an unknown authority"],
    ["whose certificate is for another name", () => serverWith({ names: ["DNS:b.test"] }), 'its certificate is for another name than "m1.a.test" (it holds DNS:b.test)'],
    ["whose certificate is for a target outside the domain", () => serverWith({ names: ["DNS:m.b.test"] }), 'its certificate is for another name than "a.test" (it holds DNS:m.b.test)', "m.b.test"],
    ["whose certificate has its name only in the subject", () => serverWith({ names: ["email:a@a.test"] }), "its certificate is for another name"],
    ["whose certificate is for its address only", () => serverWith({ names: ["IP:127.0.0.1"] }), 'its certificate is for another name than "m1.a.test"'],
    ["whose certificate is self-signed", () => serverWith({ names: ["DNS:a.test"], isSelfSigned: true }), "its certificate is self-signed and not trusted"],
    ["whose certificate is of another authority", async () => closers.add(await TlsServer.start(await issue({ names: ["DNS:a.test"] }, other))), "its certificate is signed by an unknown authority"],
    ["that does not speak TLS", async () => closers.add(await TlsServer.plaintext()), "it does not speak TLS"],
    ["that does not respond", async () => closers.add(await TlsServer.mute()), "no answer in time"],
    ["that refuses connections", () => Promise.resolve({ port: 1 }), "connection refused"],
    ["that does not resolve", () => Promise.resolve({ port: 1 }), "it does not resolve (ENOTFOUND)", "gone.a.test"],
  ]; // prettier-ignore
  test.each(rows)(
    "%s, logs the reason and exits with 1",
    async (_, make, reason, target = "m1.a.test") => {
      const server = await make();
      const { gateway } = await launch([ssl(target, server)]);
      expect(gateway.status).toBe(1);
      const address = `${target}:${server.port}`;
      expect(gateway.lines(REJECTED)).toMatchObject([
        { level: "warn", address, from: "SRV", error: expect.stringContaining(reason) },
      ]);
      expect(gateway.log.at(-1)).toMatchObject({
        level: "error",
        msg: 'Cannot use what --discovery-srv "a.test" names: no endpoint passed; see the lines before',
      });
    },
  );

  test("while another passes, which gets all clients", async () => {
    const good = await serverWith({ names: ["DNS:a.test"] });
    const bad = closers.add(await TlsServer.start(await issue({ names: ["DNS:a.test"] }, other)));
    const { gateway } = await launch([ssl("m1.a.test", good), ssl("m2.a.test", bad)]);
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { endpoints: [`m1.a.test:${good.port}`] },
    ]);
    // Each connection fails unless the good server's authority signed the certificate.
    for (let i = 0; i < 6; i++) await throughTls(gateway.port);
    expect(bad.connections).toBeGreaterThan(0);
  });
});

describe("--discovery-srv logs a warning", () => {
  test("when it ignores a record of the plain service", async () => {
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

  test("when it uses --endpoints because no endpoint passed", async () => {
    const bad = closers.add(await TlsServer.start(await issue({ names: ["DNS:b.test"] })));
    const { gateway } = await launch([ssl("m1.a.test", bad)], ["--endpoints=127.0.0.1:1"]);
    expect(gateway.status).toBeUndefined();
    const message = "SRV discovery failed (using --endpoints until it succeeds)";
    expect(gateway.lines(message)).toMatchObject([{ level: "warn", endpoints: ["127.0.0.1:1"] }]);
  });
});

describe("--discovery-srv at a refresh", () => {
  test("verifies new and rejected endpoints, and not those in use", async () => {
    const first = await serverWith({ names: ["DNS:a.test"] });
    const { dns, gateway } = await launch([ssl("m1.a.test", first)]);
    const handshakes = first.connections;
    const late = closers.add(await TlsServer.start(await issue({ names: ["DNS:b.test"] })));
    await dns.change({ srv: [ssl("m1.a.test", first), ssl("m2.a.test", late)], hosts: HOSTS });
    await gateway.logged(REJECTED);
    const { port } = late;
    late.close();
    closers.add(await TlsServer.start(await issue({ names: ["DNS:m2.a.test"] }), { port }));
    expect(await gateway.logged("endpoints changed")).toMatchObject({
      added: [`m2.a.test:${port}`],
      removed: [],
    });
    expect(first.connections).toBe(handshakes);
  });

  test("uses a renewed CA file for the next handshake", async () => {
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

describe("start", () => {
  test("relays the client's own TLS, end to end", async () => {
    const server = await serverWith({ names: ["DNS:a.test"] });
    const { gateway } = await launch([ssl("m1.a.test", server)]);
    expect(await throughTls(gateway.port)).toContain("subject=CN = server");
  });
});

describe("check", () => {
  test("verifies by the system's CA store without --trusted-ca-file", async () => {
    const server = await serverWith({ names: ["DNS:a.test"] });
    const dns = closers.add(
      await DnsServer.start({ srv: [ssl("m1.a.test", server)], hosts: HOSTS }),
    );
    const flags = ["check", "--discovery-srv=a.test", `--discovery-servers=${dns.address}`];
    const rejected = await run([gatewayBinary(), ...flags]);
    expect([rejected.status, rejected.stdout]).toEqual([
      1,
      expect.stringContaining("no: its certificate is signed by an unknown authority"),
    ]);
    const accepted = await run([gatewayBinary(), ...flags], {
      env: { SSL_CERT_FILE: authority.cert },
    });
    expect([accepted.status, accepted.stdout]).toEqual([0, expect.stringContaining("all is well")]);
  });
});

test("check rejects a certificate whatever Bun's environment variables allow", async () => {
  const bad = await issue({ names: ["DNS:a.test"], isSelfSigned: true });
  const server = closers.add(await TlsServer.start(bad));
  const dns = closers.add(await DnsServer.start({ srv: [ssl("m1.a.test", server)], hosts: HOSTS }));
  const flags = ["--discovery-srv=a.test", `--discovery-servers=${dns.address}`];
  const ca = `--trusted-ca-file=${authority.cert}`;
  const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0", NODE_EXTRA_CA_CERTS: bad.cert };
  const { status, stdout } = await run([gatewayBinary(), "check", ...flags, ca], { env });
  expect([status, stdout]).toEqual([1, expect.stringContaining("its certificate is self-signed")]);
});

/** Connects with openssl through the gateway, and returns what it prints about the server. */
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
