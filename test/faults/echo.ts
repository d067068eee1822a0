// Bulk traffic through the gateways: an echo server in the victim's namespace, and
// clients that check every byte. Neither end half-closes, because etcd's gateway
// would then close both directions.
import { Command } from "../support/gateway-command.ts";
import { Peer, until } from "../support/peer.ts";

import type { Member } from "./cluster.ts";
import { type Attempted, Workers } from "./load.ts";
import type { Network } from "./network.ts";
import { CLIENT_TIMEOUT_MS } from "./post.ts";

const PORT = 7777;
const ECHO_BYTES = 256 * 1024;

/** Starts an echo server in the victim's namespace. */
export async function startEchoServer(network: Network, victim: Member) {
  const program = new URL("echo-program.ts", import.meta.url).pathname;
  const words = [process.execPath, program, victim.host, String(PORT)];
  const server = new Command([...network.inside(victim.index), ...words]);
  const isReadyOrExited = () => server.stdout.includes("ready") || server.status !== undefined;
  await until(isReadyOrExited, "the echo server listened");
  if (server.status !== undefined) throw new Error(`the echo server exited: ${server.stderr}`);
  return { address: `${victim.host}:${PORT}`, close: () => server.close() };
}

/** Starts clients that send ECHO_BYTES in each attempt and expect all of them back. */
export function echoes(port: number): Workers {
  return new Workers(async function* () {
    for (;;) yield await echo(port);
  });
}

/** Makes one attempt; rejects if the bytes do not come back. */
export async function probeEcho(port: number): Promise<void> {
  const { failure } = (await echo(port)).outcome;
  if (failure !== undefined) throw new Error(failure);
}

async function echo(port: number): Promise<Attempted> {
  const startedAt = performance.now();
  let failure: string | undefined;
  let peer: Peer | undefined;

  try {
    peer = await Peer.connect(port);
    void peer.send(ECHO_BYTES);
    const isOver = () => peer!.receivedBytes >= ECHO_BYTES || peer!.outcome !== undefined;
    await until(isOver, "all bytes came back", CLIENT_TIMEOUT_MS).catch(() => {
      failure = "timeout";
    });
    if (peer.receivedBytes < ECHO_BYTES) failure ??= peer.outcome ?? "incomplete";
  } catch (error) {
    failure = (error as Error & { code?: string }).code ?? (error as Error).message;
  }

  const endedAt = performance.now();
  peer?.reset();
  const checkedBytes = peer?.receivedBytes ?? 0;
  const firstWrong = peer?.firstWrongByte;
  const wrongBytes = firstWrong === undefined ? 0 : checkedBytes - firstWrong;
  return { outcome: { failure, startedAt, endedAt }, checkedBytes, wrongBytes };
}
