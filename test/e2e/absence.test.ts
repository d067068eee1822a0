// The compiled gateway after an absence (SIGSTOP): what its peers did meanwhile
// counts before any of its timers.
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

describe("after an absence", () => {
  test("--dial-timeout spares an endpoint that answered meanwhile", async () => {
    const hole = new Blackhole();
    closers.defer(() => hole.close());
    const before = hole.unanswered;
    const flags = ["--dial-timeout=4s", "--log-level=debug"];
    const gateway = await started(`--endpoints=127.0.0.1:${hole.port}`, ...flags);
    const client = await connect(gateway.port);
    await until(() => hole.unanswered > before, "the endpoint was dialled");
    gateway.signal("SIGSTOP");
    hole.answer();
    await until(() => hole.unanswered === 0, "the connection was made", 60_000);
    await Bun.sleep(5000); // beyond the timeout
    gateway.signal("SIGCONT");
    await gateway.logged("relaying");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
    expect(client.outcome).toBeUndefined();
  });

  test("--health-timeout spares a member that answered meanwhile", async () => {
    let asked: http.ServerResponse | undefined;
    let answers = 0;
    const member = http.createServer((_, response) => {
      if (answers++ === 0) asked = response;
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
    await until(() => asked !== undefined, "it was asked");
    gateway.signal("SIGSTOP");
    asked!.end('{"health":"true"}');
    await Bun.sleep(3000);
    gateway.signal("SIGCONT");
    await until(() => answers > 3, "it was asked again");
    expect(gateway.lines("endpoint is not healthy")).toEqual([]);
  });

  test("--idle-timeout counts the time in which the gateway ran", async () => {
    const server = closers.add(new PeerServer());
    const gateway = await started(`--endpoints=127.0.0.1:${server.port}`, "--idle-timeout=10s");
    const client = await connect(gateway.port);
    await client.send(1);
    const peer = await server.peer();
    await until(() => peer.receivedBytes === 1, "the first byte came through");
    // A look at all relays comes every 2.5 s; one is before the absence, one after it.
    await Bun.sleep(3000);
    gateway.signal("SIGSTOP");
    await Bun.sleep(12_000);
    gateway.signal("SIGCONT");
    await Bun.sleep(3000);
    expect(client.outcome).toBeUndefined();
    await client.send(1);
    await until(() => peer.receivedBytes === 2, "the second byte came through");
  });
});
