// The command line of "etcd --proxy", word for word, and what follows from peer URLs.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { Closers, requireTool, run } from "../../support/gateway-command.ts";
import { freePort } from "../../support/free-port.ts";
import { gatewayBinary, GatewayProcess } from "../../support/gateway-process.ts";
import { until } from "../../support/peer.ts";
import { ScriptedMember } from "../../support/scripted-member.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = closers.add(await EtcdCluster.start(3, undefined, { flags: ["--enable-v2=true"] }));
});
afterAll(() => closers.close());

const peers = () => cluster.members.map(({ peerUrl }, i) => `m${i}=${peerUrl}`).join(",");

async function start(mode: string, flags: readonly string[] = []) {
  const port = freePort();
  const words = [
    ...[gatewayBinary(), "--proxy", mode, "--listen-client-urls", `http://0.0.0.0:${port}`],
    ...["--initial-cluster", peers(), "--data-dir", "/nonexistent", ...flags],
  ];
  const proxy = closers.add(new GatewayProcess(words));
  await proxy.logged("listening for client requests");
  proxy.address = `127.0.0.1:${port}`;
  return proxy;
}

test("--proxy on finds the members by their peers, and etcdctl sets and gets", async () => {
  const proxy = await start("on");
  const { endpoints } = await proxy.logged("endpoints found");
  expect((endpoints as string[]).toSorted()).toEqual(cluster.endpoints.split(",").toSorted());
  const etcdctl = (...args: string[]) =>
    run([requireTool("etcdctl"), `--endpoints=http://${proxy.address}`, ...args], {
      env: { ETCDCTL_API: "2" },
    });
  expect((await etcdctl("set", "seed", "x")).stdout).toBe("x\n");
  expect((await etcdctl("get", "--quorum", "seed")).stdout).toBe("x\n");
  expect(proxy.stderr).toContain("keeps no cluster file");
});

test("--proxy readonly refuses writes with 501", async () => {
  const proxy = await start("readonly");
  const url = `http://${proxy.address}/v2/keys/seed`;
  expect((await fetch(`${url}?value=1`, { method: "PUT" })).status).toBe(501);
  expect((await fetch(url)).status).toBe(200);
});

test("a peer that vanishes leaves the last good members, and 0 ms does not spin", async () => {
  const member = closers.add(await ScriptedMember.start());
  let lookups = 0;
  const list = [{ id: 1, peerURLs: [], name: "m", clientURLs: [`http://${member.address}`] }];
  const peer = http.createServer((_, response) => {
    lookups++;
    response.end(JSON.stringify(list));
  });
  await new Promise<void>((done) => peer.listen(0, "127.0.0.1", done));
  closers.add(peer);
  const { port } = peer.address() as AddressInfo;
  const proxy = closers.add(
    new GatewayProcess([
      ...[gatewayBinary(), "http-proxy", "start", "--listen-addr=127.0.0.1:0"],
      ...[`--initial-cluster=m=http://127.0.0.1:${port}`, "--proxy-refresh-interval=0"],
    ]),
  );
  await proxy.logged("endpoints found");
  await until(() => lookups === 2, "the peer was asked again");
  peer.close();
  await proxy.logged("member list failed (keeping known endpoints)");
  const address = proxy.lines("listening")[0]!["address"];
  expect((await fetch(`http://${address}/echo`)).status).toBe(200);
  expect(lookups).toBe(2);
});

test("an unreachable cluster does not keep the proxy from listening", async () => {
  const proxy = closers.add(
    new GatewayProcess([
      ...[gatewayBinary(), "--proxy=on", `--initial-cluster=m=http://127.0.0.1:${freePort()}`],
      ...[`--listen-client-urls=http://127.0.0.1:${freePort()}`],
    ]),
  );
  await proxy.logged("listening for client requests");
});

test("a time with a unit is wrong input", async () => {
  const { status, stderr } = await run([gatewayBinary(), "--proxy=on", "--proxy-failure-wait=5s"]);
  expect(status).toBe(2);
  expect(stderr).toContain("without a unit");
  expect(stderr).toContain("help http-proxy start");
});
