// The etcd cluster that other tests use: membership and authentication, as its members
// report them.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdCluster, etcdctl } from "./etcd-cluster.ts";
import { postJson } from "./etcd-json.ts";
import { Closers } from "./gateway-command.ts";
import { Authority } from "./tls-certificates.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
afterAll(() => closers.close());

const LIST = "/v3/cluster/member/list";

/** Returns the member list, in no order, from the member at this port of 127.0.0.1. */
async function listAt(port: number): Promise<{ [field: string]: unknown }[]> {
  const { status, body } = await postJson(port, LIST);
  expect(status).toBe(200);
  return body.members;
}

async function clientUrlsAt(port: number): Promise<string[]> {
  const members = await listAt(port);
  return members.flatMap(({ clientURLs = [] }) => clientURLs as string[]).toSorted();
}

describe("EtcdCluster", () => {
  test("start() starts members that advertise the requested client URLs", async () => {
    const advertise = ({ port }: URL) => [`http://m.a.test:${port}`, `http://[::1]:${port}`];
    const cluster = closers.add(await EtcdCluster.start(2, undefined, { advertise }));
    const ports = cluster.members.map(({ port }) => port);
    for (const port of ports)
      expect(await clientUrlsAt(port)).toEqual(
        ports.flatMap((p) => [`http://[::1]:${p}`, `http://m.a.test:${p}`]).toSorted(),
      );
  });

  test("add() joins members on any address, and remove() makes them exit", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    const first = cluster.members[0]!;
    const second = await cluster.add({ host: "127.0.0.2" });
    const third = await cluster.add({ host: "::1" });
    expect(cluster.members).toEqual([first, second, third]);
    expect([second.address, third.address]).toEqual([
      `127.0.0.2:${second.port}`,
      `[::1]:${third.port}`,
    ]);
    const urls = cluster.members.map(({ address }) => `http://${address}`);
    expect(await clientUrlsAt(first.port)).toEqual(urls.toSorted());

    await cluster.remove(second);
    expect([second.isRunning, await second.exited()]).toEqual([false, 0]);
    expect(cluster.endpoints).toBe(`${first.address},${third.address}`);
    await third.kill();
    third.start();
    await cluster.healthy();
    expect(await clientUrlsAt(first.port)).toEqual([urls[0]!, urls[2]!].toSorted());
  });

  test("add() can add learners, and members that do not run", async () => {
    const cluster = closers.add(await EtcdCluster.start(2));
    const { port } = cluster.members[0]!;
    const learner = await cluster.add({ isLearner: true });
    const stopped = await cluster.add({ isStarted: false });
    const { name, peerUrl, address } = learner;
    const list = await listAt(port);
    const entryOf = (url: string) => list.find(({ peerURLs }) => `${peerURLs}` === url);
    expect(entryOf(peerUrl)).toEqual({
      ...{ ID: expect.any(String), name, isLearner: true },
      ...{ peerURLs: [peerUrl], clientURLs: [`http://${address}`] },
    });
    expect(entryOf(stopped.peerUrl)).toEqual({
      ID: expect.any(String),
      peerURLs: [stopped.peerUrl],
    });
    expect(await postJson(learner.port, LIST)).toMatchObject({
      status: 503,
      body: { message: "etcdserver: rpc not supported for learner" },
    });

    await cluster.promote(learner);
    expect((await listAt(learner.port)).map(({ isLearner }) => isLearner)).toEqual(
      Array(4).fill(undefined),
    );
    stopped.start();
    await cluster.healthy();
    expect(await clientUrlsAt(stopped.port)).toHaveLength(4);
    await cluster.remove(stopped);
  });

  test("enableAuth() protects the keys; etcd 3.4 leaves its member list open", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    const { port, address } = cluster.members[0]!;
    const credentials = { user: "root", password: "secret" };
    const authenticate = (password: string, at = port) =>
      postJson(at, "/v3/auth/authenticate", { body: { name: "root", password } });
    expect(await authenticate("secret")).toMatchObject({
      status: 412,
      body: { code: 9, error: "etcdserver: authentication is not enabled" },
    });
    await cluster.enableAuth(credentials);
    expect(await authenticate("wrong")).toMatchObject({
      status: 400,
      body: { code: 3, error: "etcdserver: authentication failed, invalid user ID or password" },
    });

    const anonymous = await etcdctl(address, ["put", "key", "value"]);
    expect(anonymous.stderr).toEndWith("Error: etcdserver: user name is empty\n");
    const put = await cluster.etcdctl(address, ["put", "key", "value"]);
    expect(put).toMatchObject({ status: 0, stdout: "OK\n" });
    const other = await cluster.add();
    const { token } = (await authenticate("secret")).body;
    const statusAt = async (at: number, path: string, key?: string) =>
      (await postJson(at, path, { body: { key: "a2V5" }, ...(key && { token: key }) })).status;
    for (const at of [port, other.port]) {
      expect(await statusAt(at, "/v3/kv/range", token)).toBe(200);
      expect(await statusAt(at, "/v3/kv/range")).toBe(400);
      expect(await statusAt(at, "/v3/kv/range", "nonsense")).toBe(401);
      // etcd requires a token for the list too since 3.4.42, 3.5.28 and 3.6.9.
      expect(await statusAt(at, LIST)).toBe(200);
      expect(await statusAt(at, LIST, "nonsense")).toBe(200);
    }
  });

  test("add(), promote() and remove() work with TLS and authentication", async () => {
    const authority = closers.add(await Authority.create());
    const server = await authority.issue("server", { names: ["IP:127.0.0.1", "IP:127.0.0.2"] });
    const client = await authority.issue("client");
    const identity = { clientCert: client.cert, clientKey: client.key };
    const tls = { ca: authority.cert, ...server, ...identity };
    const cluster = closers.add(await EtcdCluster.start(1, tls));
    await cluster.enableAuth({ user: "root", password: "secret" });
    const added = await cluster.add({ host: "127.0.0.2", isLearner: true });
    await cluster.promote(added);
    const list = await cluster.etcdctl(added.address, ["member", "list"]);
    expect(list.stdout).toContain(`, started, ${added.name}, ${added.peerUrl}, `);
    expect(list.stdout).toContain(`, https://127.0.0.2:${added.port}, false\n`);
    await cluster.remove(added);
    expect(cluster.members).toHaveLength(1);
  });
});
