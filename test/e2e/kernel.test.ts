// Machines without IPv6, a socket option or /proc. The compiled binary runs under a seccomp
// filter that rejects a system call, or with another /proc mounted.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { DnsServer } from "../support/dns-server.ts";
import { freePort } from "../support/free-port.ts";
import { Closers, requireTool, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { NO_IPV6, refusing } from "../support/refused-call-program.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
afterEach(() => closers.close());

const noIpv6 = { wrapper: refusing(NO_IPV6) };

const startServer = () => closers.add(new PeerServer());
const start = async (flags: readonly string[], options = noIpv6) =>
  closers.add(await GatewayProcess.start(flags, options));

async function expectServed(gateway: GatewayProcess, server: PeerServer): Promise<void> {
  const before = server.accepted.length;
  const client = await Peer.connect(gateway.port);
  await client.send(100);
  const peer = await server.peer(before);
  await until(() => peer.receivedBytes === 100, "the server had received the bytes");
  client.reset();
}

/** Returns the IPv4 addresses on whose `port` a process listens, as /proc/net/tcp writes them. */
function listeningAt(pid: number, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const table = readFileSync(`/proc/${pid}/net/tcp`, "utf8");
  return [...table.matchAll(/^ *\d+: (\w{8}):(\w{4}) \S+ 0A/gm)]
    .filter(([, , local]) => local === hex)
    .map(([, address]) => address!);
}

describe("start on a kernel without IPv6", () => {
  test("--listen-addr=:PORT listens on 0.0.0.0, as etcd's gateway does", async () => {
    const server = startServer();
    const endpoints = `--endpoints=127.0.0.1:${server.port}`;
    const ours = await start([endpoints, "--listen-addr=:0"]);
    expect(ours.address).toStartWith("0.0.0.0:");
    expect(listeningAt(ours.pid, ours.port)).toEqual(["00000000"]);
    await expectServed(ours, server);

    // The control: etcd 3.4 rejects an empty host, and listens on all addresses for [::].
    const address = `[::]:${freePort()}`;
    const etcds = closers.add(
      await GatewayProcess.startKind("etcd", [endpoints, `--listen-addr=${address}`], noIpv6),
    );
    const port = Number(address.split(":").at(-1));
    expect(listeningAt(etcds.pid, port)).toEqual(["00000000"]);
  });

  test("--metrics-addr=:PORT listens on 0.0.0.0, and healthcheck connects there", async () => {
    const endpoints = `--endpoints=127.0.0.1:${startServer().port}`;
    const gateway = await start([endpoints, "--metrics-addr=:0"]);
    const address = String(gateway.lines("serving metrics and status")[0]!["address"]);
    expect(address).toStartWith("0.0.0.0:");
    const words = [gatewayBinary(), "healthcheck", `--metrics-addr=:${address.split(":")[1]}`];
    expect(await run([...noIpv6.wrapper, ...words])).toMatchObject({ status: 0, stderr: "" });
  });

  test.each(["--listen-addr", "--metrics-addr"])("%s=[::]:PORT exits with 1", async (flag) => {
    const flags = ["--listen-addr=127.0.0.1:0", `${flag}=[::]:23790`, "--endpoints=127.0.0.1:1"];
    const { status, stderr } = await run([
      ...[...noIpv6.wrapper, gatewayBinary(), "start"],
      ...flags,
    ]);
    const where = flag === "--listen-addr" ? "" : `${flag} `;
    expect(status).toBe(1);
    expect(stderr).toContain(
      JSON.stringify(
        `Cannot listen on ${where}"[::]:23790": this machine has no IPv6; choose an IPv4 address`,
      ),
    );
  });

  test("--listen-addr=:PORT rejects an endpoint that is the gateway itself", async () => {
    const words = [...noIpv6.wrapper, gatewayBinary(), "start", "--listen-addr=:23790"];
    const { status, stderr } = await run([...words, "--endpoints=127.0.0.1:23790"]);
    expect(status).toBe(2);
    expect(stderr).toContain(
      'Cannot use --endpoints "127.0.0.1:23790": it resolves to 127.0.0.1, this process\'s own --listen-addr ":23790"',
    );
  });

  test("--endpoints with an IPv6 address serves clients from an IPv4 one", async () => {
    const server = startServer();
    const endpoints = `--endpoints=[::1]:${server.port},127.0.0.1:${server.port}`;
    const gateway = await start([endpoints]);
    await expectServed(gateway, server);
    const { error } = await gateway.logged("deactivated endpoint");
    expect(error).toBe(
      `dial tcp [::1]:${server.port}: connect: address family not supported by protocol`,
    );
  });

  test("--endpoints with a name dials its IPv4 address", async () => {
    const server = startServer();
    const hosts = { "m.a.test": ["::1", "127.0.0.1"] };
    const dns = closers.add(await DnsServer.start({ srv: [], hosts }));
    const gateway = await start([
      `--endpoints=m.a.test:${server.port}`,
      `--discovery-servers=${dns.address}`,
    ]);
    await expectServed(gateway, server);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });
});

describe("start with another /proc", () => {
  /** Returns a command prefix that mounts something else on /proc. `words` are for mount(8). */
  const mounting = (...words: string[]) => [
    ...[requireTool("unshare"), "--mount", "--pid", "--fork", "--kill-child"],
    ...["sh", "-c", `mount ${words.join(" ")} /proc && exec "$@"`, "sh"],
  ];

  // Bun 1.4.5 aborts before it runs our code; the documentation says that /proc is needed.
  test("aborts without /proc, as Bun does", async () => {
    const words = [...mounting("-t", "tmpfs", "none"), gatewayBinary(), "version"];
    const { status, stdout, stderr } = await run(words);
    // Null: a signal, SIGABRT, ended it.
    expect([status, stdout]).toEqual([null, ""]);
    expect(stderr).toContain("panic(main thread): abort() called");
  });

  test("serves with only processes in /proc, as ProcSubset=pid mounts it", async () => {
    const server = startServer();
    const wrapper = mounting("-t", "proc", "-o", "subset=pid", "proc");
    const gateway = await start([`--endpoints=127.0.0.1:${server.port}`], { wrapper });
    await expectServed(gateway, server);
  });
});

test("start logs a socket option that the kernel rejects, once, and serves", async () => {
  const server = startServer();
  const TCP_USER_TIMEOUT = 18;
  const wrapper = refusing({
    name: "setsockopt",
    arguments: { 1: 6, 2: TCP_USER_TIMEOUT },
    error: "ENOPROTOOPT",
  });
  const gateway = await start([`--endpoints=127.0.0.1:${server.port}`], { wrapper });
  for (let client = 0; client < 3; client++) await expectServed(gateway, server);
  const message = "cannot set socket option (connections work without it)";
  await gateway.logged(message);
  expect(gateway.lines(message)).toMatchObject([
    { level: "warn", option: "TCP_USER_TIMEOUT", error: "ENOPROTOOPT" },
  ]);
});
