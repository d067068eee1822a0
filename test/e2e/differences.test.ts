// One table of behaviours, run against the compiled gateway and against etcd's own: most
// differences that docs/migration.md lists, and some behaviours that must be the same.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { freePort } from "../support/free-port.ts";
import { Closers, eventually, requireTool, run } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import {
  gatewayBinary,
  type GatewayKind,
  type GatewayOptions,
  GatewayProcess,
} from "../support/gateway-process.ts";
import { Blackhole } from "../support/blackhole.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { deadPort } from "../support/scene.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;
const KINDS = ["ours", "etcd"] as const;

const closers = new Closers();
afterEach(() => closers.close());

interface Behaviour {
  readonly name: string;
  /** The expected outcome of our gateway, in words. */
  readonly ours: string;
  /** The expected outcome of etcd's gateway. */
  readonly etcd: string;
  /** Resolves with the outcome. */
  run(kind: GatewayKind): Promise<string>;
}

const behaviours: Behaviour[] = [
  {
    name: "a client half-closes and waits for the reply, 20 times",
    ours: "20 of 20 replies arrive",
    etcd: "0 of 20 replies arrive",
    async run(kind) {
      const server = serve((peer) => void replyAtEnd(peer, MIB));
      const gateway = await start(kind, server);
      let whole = 0;
      for (let i = 0; i < 20; i++) {
        const client = await connect(gateway);
        await client.send(1000);
        client.shutdown();
        await client.gone();
        if (client.receivedBytes === MIB && client.firstWrongByte === undefined) whole++;
      }
      return `${whole} of 20 replies arrive`;
    },
  },
  {
    name: "a client sends 64 MiB to an echo server, then half-closes",
    ours: "the whole echo arrives",
    etcd: "the echo is incomplete",
    async run(kind) {
      const server = serve(echo);
      const client = await connect(await start(kind, server));
      // While the client does not read, the echo does not fit into the buffers on its way.
      client.pause();
      await client.send(64 * MIB);
      client.shutdown();
      client.resume();
      await client.gone();
      expect(client.firstWrongByte).toBeUndefined();
      return client.receivedBytes === 64 * MIB
        ? "the whole echo arrives"
        : "the echo is incomplete";
    },
  },
  {
    name: "a server resets a connection",
    ours: "the client sees ECONNRESET",
    etcd: "the client sees end",
    async run(kind) {
      const server = serve();
      const client = await connect(await start(kind, server));
      (await server.peer()).reset();
      return `the client sees ${await client.gone()}`;
    },
  },
  {
    name: "a client resets a connection",
    ours: "the server sees ECONNRESET",
    etcd: "the server sees end",
    async run(kind) {
      const server = serve();
      const client = await connect(await start(kind, server));
      const peer = await server.peer();
      client.reset();
      return `the server sees ${await peer.gone()}`;
    },
  },
  {
    name: "one of two endpoints drops packets",
    ours: "the other serves the client",
    etcd: "the client still waits after 2 s",
    async run(kind) {
      const hole = closers.add(new Blackhole());
      const endpoints = `--endpoints=127.0.0.1:${hole.port},127.0.0.1:${serve(greet).port}`;
      const gateway = await startWith(kind, [endpoints]);
      // Each gateway gives one of its first two clients to the silent endpoint.
      const clients = [await connect(gateway), await connect(gateway)];
      const areServed = () => clients.every(({ receivedBytes }) => receivedBytes === 1);
      const timeoutMs = kind === "ours" ? 20_000 : 2000;
      return (await holds(areServed, timeoutMs))
        ? "the other serves the client"
        : "the client still waits after 2 s";
    },
  },
  {
    name: "all endpoints are down, then up again; --retry-delay is 1h",
    ours: "refused while they are down, then served",
    etcd: "refused while they are down, then refused",
    async run(kind) {
      const ports = [deadPort(), deadPort()];
      const endpoints = `--endpoints=${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
      const gateway = await startWith(kind, [endpoints, "--retry-delay=1h"]);
      const before = await outcomeOfClient(gateway);
      for (const port of ports) serve(greet, port);
      return `${before} while they are down, then ${await outcomeOfClient(gateway)}`;
    },
  },
  {
    name: "one of two endpoints does not resolve at the start",
    ours: "starts and serves the client",
    etcd: "exits with status 1",
    async run(kind) {
      const hosts = closers.add(await Hosts.create("", "broken"));
      const endpoints = `--endpoints=nowhere.test:2379,127.0.0.1:${serve(greet).port}`;
      const gateway = await launch(kind, [endpoints], { wrapper: hosts.wrapper });
      if (gateway.status !== undefined) return `exits with status ${gateway.status}`;
      const outcome = await outcomeOfClient(gateway);
      return outcome === "served" ? "starts and serves the client" : `starts; ${outcome}`;
    },
  },
  {
    name: "a name stops resolving while the gateway runs",
    ours: "the client is served",
    etcd: "the client is refused",
    async run(kind) {
      const hosts = closers.add(await Hosts.create("127.0.0.1 etcd.test", "broken"));
      const endpoints = `--endpoints=etcd.test:${serve(greet).port}`;
      const gateway = await startWith(kind, [endpoints], { wrapper: hosts.wrapper });
      expect(await outcomeOfClient(gateway)).toBe("served");
      hosts.write("");
      return await afterChange(
        async () => `the client is ${await outcomeOfClient(gateway)}`,
        "the client is refused",
      );
    },
  },
  {
    name: "a name changes its address while the gateway runs",
    ours: "the next client reaches the new address",
    etcd: "the next client reaches the new address",
    async run(kind) {
      const hosts = closers.add(await Hosts.create("127.0.0.1 etcd.test"));
      const old = serve(greet);
      const gateway = await startWith(kind, [`--endpoints=etcd.test:${old.port}`], {
        wrapper: hosts.wrapper,
      });
      expect(await outcomeOfClient(gateway)).toBe("served");
      const moved = closers.add(new PeerServer(old.port, "127.0.0.2"));
      moved.onPeer = greet;
      hosts.write("127.0.0.2 etcd.test");
      return await afterChange(async () => {
        expect(await outcomeOfClient(gateway)).toBe("served");
        return `the next client reaches the ${moved.accepted.length > 0 ? "new" : "old"} address`;
      }, "the next client reaches the new address");
    },
  },
  {
    name: "SIGTERM while a client is connected",
    ours: "the client finishes; exit status 0",
    etcd: "the client loses its connection; the signal kills the gateway",
    async run(kind) {
      const server = serve();
      const gateway = await start(kind, server);
      const client = await connect(gateway);
      const peer = await server.peer();
      gateway.signal("SIGTERM");

      const isDraining = () => gateway.lines("draining: no new clients").length > 0;
      const isDecided = () => isDraining() || client.outcome !== undefined;
      await until(isDecided, "the gateway was draining or had lost its client");
      const isLost = client.outcome !== undefined;
      if (!isLost) {
        await peer.send(MIB);
        peer.shutdown();
        client.shutdown();
        expect(await client.gone()).toBe("end");
        expect(client.receivedBytes).toBe(MIB);
      }

      const status = await gateway.exited();
      const outcome = isLost ? "the client loses its connection" : "the client finishes";
      const end = status === null ? "the signal kills the gateway" : `exit status ${status}`;
      return `${outcome}; ${end}`;
    },
  },
  {
    name: "more clients than the descriptor limit allows",
    ours: "keeps running; connected clients go on",
    etcd: "exits with status 0",
    async run(kind) {
      const server = serve(greet);
      const flags = [`--endpoints=127.0.0.1:${server.port}`];
      const unlimited = await startWith(kind, flags);
      expect(await outcomeOfClient(unlimited)).toBe("served");
      await until(() => server.accepted[0]!.outcome !== undefined, "the client had left");
      // A client takes two descriptors, so an even number makes accept(2) fail, not connect(2).
      const limit = unlimited.descriptors + 64;
      const wrapper = [requireTool("prlimit"), `--nofile=${limit}:${limit}`];
      const gateway = await startWith(kind, flags, { wrapper });
      const clients: Peer[] = [];
      for (let i = 0; i < 40 && gateway.status === undefined; i++) {
        const client = await connect(gateway).catch(() => undefined);
        if (client === undefined) continue;
        clients.push(client);
        await until(
          () =>
            client.receivedBytes > 0 ||
            client.outcome !== undefined ||
            gateway.status !== undefined,
          "the client was served or refused",
        );
      }

      const hasExited = () => gateway.status !== undefined;
      // For ours, this waits to see that nothing happens.
      if (await holds(hasExited, kind === "ours" ? 500 : 20_000))
        return `exits with status ${gateway.status}`;
      expect(clients[0]!.outcome).toBeUndefined();
      (await server.peer(1)).shutdown();
      expect(await clients[0]!.gone()).toBe("end");
      return "keeps running; connected clients go on";
    },
  },
  {
    name: "--retry-delay=0",
    ours: "rejected, and named",
    etcd: "accepted",
    run: (kind) => resultOfStart(kind, ["--retry-delay=0"], "--retry-delay"),
  },
  {
    name: "--endpoints=127.0.0.1:99999",
    ours: "rejected, and named",
    etcd: "accepted as 127.0.0.1:0",
    run: (kind) => resultOfStart(kind, ["--endpoints=127.0.0.1:99999"], "--endpoints"),
  },
  {
    name: "--endpoints=127.0.0.1 (no port)",
    ours: "rejected, and named",
    etcd: "rejected",
    run: (kind) => resultOfStart(kind, ["--endpoints=127.0.0.1"], "--endpoints"),
  },
  {
    name: "--retry-delay=123 (no unit)",
    ours: "rejected, and named",
    etcd: "rejected, and named",
    run: (kind) => resultOfStart(kind, ["--retry-delay=123"], "--retry-delay"),
  },
  {
    name: "an endpoint that is the gateway itself",
    ours: "rejected, and named",
    etcd: "rejected",
    run(kind) {
      const address = `127.0.0.1:${freePort()}`;
      const flags = [`--listen-addr=${address}`, `--endpoints=${address}`];
      return resultOfStart(kind, flags, "--endpoints");
    },
  },
  {
    name: "the error for an endpoint without a port",
    ours: "on standard error, exit status 2",
    etcd: "on standard output, exit status 1",
    async run(kind) {
      const { status, stdout, stderr } = await launch(kind, ["--endpoints=nohost"]);
      const streams = [
        stdout.includes("nohost") ? "output" : "",
        stderr.includes("nohost") ? "error" : "",
      ];
      return `on standard ${streams.filter(Boolean).join(" and ")}, exit status ${status}`;
    },
  },
  {
    name: "endpoints in an environment variable",
    ours: "used",
    etcd: "ignored",
    async run(kind) {
      const env = { ETCD_GATEWAY_ENDPOINTS: "127.0.0.1:1", ETCD_ENDPOINTS: "127.0.0.1:1" };
      const gateway = await startWith(kind, [], { env });
      const [ready] = gateway.lines("ready to proxy client requests");
      return (ready!["endpoints"] as string[])[0] === "127.0.0.1:1" ? "used" : "ignored";
    },
  },
  {
    name: "--listen-addr=0.0.0.0:PORT",
    ours: "accepts IPv4",
    etcd: "accepts IPv4 and IPv6",
    async run(kind) {
      const port = freePort();
      const endpoint = `--endpoints=127.0.0.1:${serve(greet).port}`;
      await startWith(kind, [endpoint, `--listen-addr=0.0.0.0:${port}`]);
      const reaches = (address: string) =>
        Peer.connect(port, address).then(
          (peer) => (peer.reset(), true),
          () => false,
        );
      const families = [(await reaches("127.0.0.1")) && "IPv4", (await reaches("::1")) && "IPv6"];
      return `accepts ${families.filter(Boolean).join(" and ")}`;
    },
  },
  {
    name: "30 clients of two endpoints, one of which is given twice",
    ours: "15 and 15 clients",
    etcd: "20 and 10 clients",
    async run(kind) {
      const [twice, once] = [serve(greet), serve(greet)];
      const address = `127.0.0.1:${twice.port}`;
      const endpoints = `--endpoints=${address},${address},127.0.0.1:${once.port}`;
      const gateway = await startWith(kind, [endpoints]);
      for (let i = 0; i < 30; i++) expect(await outcomeOfClient(gateway)).toBe("served");
      return `${twice.accepted.length} and ${once.accepted.length} clients`;
    },
  },
  {
    name: "the log of an endpoint that is down, stays down, then comes up",
    ours: "the same three messages",
    etcd: "the same three messages",
    async run(kind) {
      const port = deadPort();
      const flags = [`--endpoints=127.0.0.1:${port}`, "--retry-delay=100ms"];
      const gateway = await startWith(kind, flags);
      await outcomeOfClient(gateway);
      await gateway.logged("failed to activate endpoint (stay inactive for another interval)");
      serve(greet, port);
      await gateway.logged("activated");
      const error = `dial tcp 127.0.0.1:${port}: connect: connection refused`;
      const lines = gateway.log.filter(({ address }) => address === `127.0.0.1:${port}`);
      const texts = lines.map((line) => `${line.level} ${line.msg} ${line["error"]}`);
      const expected = [
        `warn deactivated endpoint ${error}`,
        `warn failed to activate endpoint (stay inactive for another interval) ${error}`,
        "info activated undefined",
      ];
      return Bun.deepEquals([...new Set(texts)], expected)
        ? "the same three messages"
        : texts.join();
    },
  },
  {
    name: "flags before the subcommand, --endpoints twice, with a scheme",
    ours: "127.0.0.1:1,127.0.0.1:2",
    etcd: "127.0.0.1:1,127.0.0.1:2",
    async run(kind) {
      const program = kind === "ours" ? gatewayBinary() : requireTool("etcd");
      const flags = ["--endpoints=http://127.0.0.1:1", "--endpoints=127.0.0.1:2"];
      const listen = `--listen-addr=127.0.0.1:${freePort()}`;
      const words = [program, "gateway", ...flags, listen, "start"];
      const gateway = closers.add(new GatewayProcess(words));
      return String((await gateway.logged("ready to proxy client requests"))["endpoints"]);
    },
  },
];

const outcomes = new Map<string, Partial<Record<GatewayKind, string>>>();

beforeAll(() => {
  // Fails without etcd instead of skipping, because the comparison is the point.
  requireTool("etcd");
});

afterAll(async () => {
  const [version] = (await run([requireTool("etcd"), "--version"])).stdout.split("\n");
  const rows = [...outcomes].map(([name, { ours = "", etcd = "" }]) => [name, ours, etcd] as const);
  const [first, second] = [0, 1].map((i) => Math.max(...rows.map((row) => row[i]!.length)) + 2);
  const lines = rows.map(
    ([name, ours, etcd]) => `${name.padEnd(first!)}${ours.padEnd(second!)}${etcd}`,
  );
  console.log(`behaviour, etcd-gateway, etcd's own (${version}):\n${lines.join("\n")}`);
});

describe.each(KINDS)("gateway start (%s)", (kind) => {
  const claims = behaviours.map((behaviour) => ({ ...behaviour, expected: behaviour[kind] }));
  test.each(claims)("$name: $expected", async ({ name, run, expected }) => {
    const outcome = await run(kind);
    outcomes.set(name, { ...outcomes.get(name), [kind]: outcome });
    expect(outcome).toBe(expected);
  });
});

function serve(onPeer: (peer: Peer) => void = () => {}, port = 0): PeerServer {
  const server = closers.add(new PeerServer(port));
  server.onPeer = onPeer;
  return server;
}

async function launch(kind: GatewayKind, flags: string[], options?: GatewayOptions) {
  return closers.add(await GatewayProcess.launch(kind, flags, options));
}

async function startWith(kind: GatewayKind, flags: string[], options?: GatewayOptions) {
  return closers.add(await GatewayProcess.startKind(kind, flags, options));
}

const start = (kind: GatewayKind, server: PeerServer) =>
  startWith(kind, [`--endpoints=127.0.0.1:${server.port}`]);

async function connect(gateway: GatewayProcess): Promise<Peer> {
  const client = await Peer.connect(gateway.port);
  closers.defer(() => client.reset());
  return client;
}

/** Connects a client to a gateway of greeting servers, and resolves with its outcome. */
async function outcomeOfClient(gateway: GatewayProcess): Promise<"served" | "refused"> {
  try {
    const client = await connect(gateway);
    await until(
      () => client.receivedBytes > 0 || client.outcome !== undefined,
      "the client was served or refused",
    );
    client.reset();
    return client.receivedBytes > 0 ? "served" : "refused";
  } catch (error) {
    // The reset arrived before connect(2) was reported as complete.
    if ((error as { code?: string }).code === "ECONNRESET") return "refused";
    throw error;
  }
}

/** Resolves with how a gateway takes `flags`; `name` is the flag that its error should name. */
async function resultOfStart(kind: GatewayKind, flags: string[], name: string): Promise<string> {
  const { status, stdout, stderr, log } = await launch(kind, flags);
  if (status !== undefined) {
    expect(status).not.toBe(0);
    const [line] = (stderr + stdout).split("\n");
    return line!.includes(name) ? "rejected, and named" : "rejected";
  }
  const given = flags.find((flag) => flag.startsWith("--endpoints="))?.split("=")[1];
  const endpoints = String(log.find(({ msg }) => msg.startsWith("ready to"))!["endpoints"]);
  return given === undefined || given === endpoints ? "accepted" : `accepted as ${endpoints}`;
}

const greet = (peer: Peer) => void peer.send(1);

async function replyAtEnd(peer: Peer, bytes: number): Promise<void> {
  await peer.gone();
  await peer.send(bytes);
  peer.shutdown();
}

async function echo(peer: Peer): Promise<void> {
  for (;;) {
    const isIdle = () => peer.receivedBytes === peer.sentBytes;
    await until(() => !isIdle() || peer.outcome !== undefined, "bytes or an end arrived");
    if (isIdle()) break;
    // All peers send the same stream, so sending as many bytes echoes those received.
    const before = peer.sentBytes;
    await peer.send(peer.receivedBytes - before);
    if (peer.sentBytes === before) return; // the connection is closed
  }
  peer.shutdown();
}

/**
 * Resolves with the outcome of `attempt` after the hosts file changed. Both gateways check
 * the file every 5 s, as Go's net package does, so the attempt is repeated until its
 * outcome is `expected` or a timeout is over.
 */
async function afterChange(attempt: () => Promise<string>, expected: string): Promise<string> {
  let outcome = "";
  const isExpected = async () => (outcome = await attempt()) === expected || undefined;
  await eventually(isExpected, expected, 12_000).catch(() => undefined);
  return outcome;
}

/** Resolves with whether `condition` becomes true within `timeoutMs`. */
function holds(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  return until(condition, "the condition held", timeoutMs).then(
    () => true,
    () => false,
  );
}
