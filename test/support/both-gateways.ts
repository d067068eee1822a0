// Runs a table of behaviours against the compiled gateway and against etcd's own, and
// prints their outcomes next to each other.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Closers, requireTool, run as runCommand } from "./gateway-command.ts";
import { type GatewayKind, type GatewayOptions, GatewayProcess } from "./gateway-process.ts";
import { Peer, PeerServer, until } from "./peer.ts";

const KINDS = ["ours", "etcd"] as const;

/** Closed after each test. */
export const closers = new Closers();

export interface Behaviour {
  readonly name: string;
  /** The expected outcome of our gateway, in words. */
  readonly ours: string;
  /** The expected outcome of etcd's gateway. */
  readonly etcd: string;
  /** Resolves with the outcome. */
  run(kind: GatewayKind): Promise<string>;
}

/** Declares a test of each behaviour for each gateway. Fails without etcd. */
export function compareGateways(behaviours: readonly Behaviour[]): void {
  const outcomes = new Map<string, Partial<Record<GatewayKind, string>>>();

  afterEach(() => closers.close());

  beforeAll(() => {
    // Fails without etcd instead of skipping, because the comparison is the point.
    requireTool("etcd");
  });

  afterAll(async () => {
    const [version] = (await runCommand([requireTool("etcd"), "--version"])).stdout.split("\n");
    console.log(`behaviour, etcd-gateway, etcd's own (${version}):\n${tableOf(outcomes)}`);
  });

  describe.each(KINDS)("gateway start (%s)", (kind) => {
    const claims = behaviours.map((behaviour) => ({ ...behaviour, expected: behaviour[kind] }));
    test.each(claims)("$name: $expected", async ({ name, run, expected }) => {
      const outcome = await run(kind);
      outcomes.set(name, { ...outcomes.get(name), [kind]: outcome });
      expect(outcome).toBe(expected);
    });
  });
}

function tableOf(outcomes: ReadonlyMap<string, Partial<Record<GatewayKind, string>>>): string {
  const rows = [...outcomes].map(([name, { ours = "", etcd = "" }]) => [name, ours, etcd] as const);
  const [first, second] = [0, 1].map((i) => Math.max(...rows.map((row) => row[i]!.length)) + 2);
  return rows
    .map(([name, ours, etcd]) => `${name.padEnd(first!)}${ours.padEnd(second!)}${etcd}`)
    .join("\n");
}

/** Starts a server, on a free port by default. */
export function serve(onPeer: (peer: Peer) => void = () => {}, port = 0): PeerServer {
  const server = closers.add(new PeerServer(port));
  server.onPeer = onPeer;
  return server;
}

/** Runs a gateway until it is ready or has exited. */
export async function launch(kind: GatewayKind, flags: string[], options?: GatewayOptions) {
  return closers.add(await GatewayProcess.launch(kind, flags, options));
}

/** Starts a gateway; throws if it exits. */
export async function startWith(kind: GatewayKind, flags: string[], options?: GatewayOptions) {
  return closers.add(await GatewayProcess.startKind(kind, flags, options));
}

/** Starts a gateway with one endpoint. */
export const start = (kind: GatewayKind, server: PeerServer) =>
  startWith(kind, [`--endpoints=127.0.0.1:${server.port}`]);

/** Connects a client, which is reset after the test. */
export async function connect(gateway: GatewayProcess): Promise<Peer> {
  const client = await Peer.connect(gateway.port);
  closers.defer(() => client.reset());
  return client;
}

/** Connects a client to a gateway of greeting servers, and resolves with its outcome. */
export async function outcomeOfClient(gateway: GatewayProcess): Promise<"served" | "refused"> {
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

/** Sends one byte. */
export const greet = (peer: Peer) => void peer.send(1);

/** Resolves with whether `condition` becomes true within `timeoutMs`. */
export function holds(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  return until(condition, "the condition held", timeoutMs).then(
    () => true,
    () => false,
  );
}
