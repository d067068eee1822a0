// The compiled gateway after SIGSTOP and SIGCONT: it handles what its peers did in the
// meantime before it runs any of its timers.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import http from "node:http";
import { Closers } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { Blackhole } from "../support/blackhole.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterEach(() => closers.close());

async function started(...flags: string[]): Promise<GatewayProcess> {
  const gateway = closers.add(await GatewayProcess.start(flags));
  closers.defer(() => gateway.status === undefined && gateway.signal("SIGCONT"));
  return gateway;
}

async function connect(port: number): Promise<Peer> {
  const client = await Peer.connect(port);
  closers.defer(() => client.reset());
  return client;
}

describe("after SIGSTOP and SIGCONT", () => {
  test("--dial-timeout does not fail an endpoint that answered while the gateway was stopped", async () => {
    const hole = new Blackhole();
    closers.defer(() => hole.close());
    const before = hole.unanswered;
    const flags = ["--dial-timeout=4s", "--log-level=debug"];
    const gateway = await started(`--endpoints=127.0.0.1:${hole.port}`, ...flags);
    const client = await connect(gateway.port);
    await until(() => hole.unanswered > before, "the endpoint was dialled");
    gateway.signal("SIGSTOP");
    hole.answer();
    await until(() => hole.unanswered === 0, "the kernel had connected", 60_000);
    await Bun.sleep(5000); // Nothing may happen: the gateway is stopped beyond its timeout.
    gateway.signal("SIGCONT");
    await gateway.logged("relaying");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
    expect(client.outcome).toBeUndefined();
  });

  test("--health-timeout does not fail a member that answered while the gateway was stopped", async () => {
    let pending: http.ServerResponse | undefined;
    let requests = 0;
    const member = http.createServer((_, response) => {
      if (requests++ === 0) pending = response;
      else response.end('{"health":"true"}');
    });
    await new Promise<void>((resolve) => member.listen(0, "127.0.0.1", resolve));
    closers.defer(() => member.closeAllConnections());
    closers.defer(() => member.close());
    const { port } = member.address() as { port: number };
    const gateway = await started(
      `--endpoints=127.0.0.1:${port}`,
      "--health-url=http://{host}:{port}/health",
      ...["--health-interval=100ms", "--health-timeout=1s", "--health-fall=1"],
    );
    await until(() => pending !== undefined, "the first check was pending");

    gateway.signal("SIGSTOP");
    pending!.end('{"health":"true"}');
    await Bun.sleep(3000); // Nothing may happen: the gateway is stopped beyond its timeout.
    gateway.signal("SIGCONT");

    await until(() => requests > 3, "more checks had arrived");
    for (const message of ["endpoint is unhealthy", "endpoint is unresponsive"])
      expect(gateway.lines(message)).toEqual([]);
  });

  test("--idle-timeout counts only the time in which the gateway ran", async () => {
    const server = closers.add(new PeerServer());
    const gateway = await started(`--endpoints=127.0.0.1:${server.port}`, "--idle-timeout=10s");
    const client = await connect(gateway.port);
    await client.send(1);
    const peer = await server.peer();
    await until(() => peer.receivedBytes === 1, "the first byte arrived");

    // Nothing may happen in these sleeps. The gateway checks all relays every 2.5 s: once
    // before it is stopped beyond its timeout, and once after it.
    await Bun.sleep(3000);
    gateway.signal("SIGSTOP");
    await Bun.sleep(12_000);
    gateway.signal("SIGCONT");
    await Bun.sleep(3000);
    expect(client.outcome).toBeUndefined();
    await client.send(1);
    await until(() => peer.receivedBytes === 2, "the second byte arrived");
  });
});
