// Endpoints of the compiled gateway, compared with etcd's own gateway: rows of docs/migration.md, and
// behaviours that must be the same.
import { expect, setDefaultTimeout } from "bun:test";
import { Blackhole } from "../support/blackhole.ts";
import {
  closers,
  compareGateways,
  connect,
  greet,
  holds,
  launch,
  outcomeOfClient,
  serve,
  startWith,
} from "../support/both-gateways.ts";
import { eventually } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import { PeerServer } from "../support/peer.ts";
import { deadPort } from "../support/scene.ts";

setDefaultTimeout(60_000);

compareGateways([
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
]);

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
