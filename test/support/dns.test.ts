// The DNS servers that other tests use, queried by a resolver.
import { afterEach, describe, expect, test } from "bun:test";
import dns from "node:dns";
import { BrokenDns, type Fault } from "./broken-dns.ts";
import { DnsServer, type Zone } from "./dns-server.ts";
import { Closers, output } from "./gateway-command.ts";
import { Hosts } from "./gateway-hosts.ts";
import { Peer, until } from "./peer.ts";
import { seed } from "./random-input.ts";

const closers = new Closers();
afterEach(() => closers.close());

const SERVICE = "_etcd-client._tcp.a.test";
const srv = (target: string, port = 2379) => ({ name: SERVICE, target, port });
const ZONE: Zone = {
  srv: [{ ...srv("m1.a.test"), priority: 1, weight: 5 }, srv("m2.a.test"), srv("m2.a.test")],
  hosts: { "m1.a.test": ["127.0.0.1", "127.0.0.2", "::1"] },
  cnames: { "alias.a.test": "m1.a.test", "other.a.test": "alias.a.test" },
};

/** Sends one query, without retries or a cache; resolves with sorted records or an error code. */
async function query(address: string, type: "A" | "AAAA" | "SRV", name: string): Promise<unknown> {
  const resolver = new dns.promises.Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([address]);
  try {
    const records = (await resolver.resolve(name, type)) as (string | dns.SrvRecord)[];
    const texts = records.map((record) =>
      typeof record === "string"
        ? record
        : `${record.priority} ${record.weight} ${record.port} ${record.name}`,
    );
    return texts.toSorted();
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** Starts a server on port 53 of a random loopback address, since other runs may use some. */
async function startOnPort53(): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const host = `127.53.${Math.floor(Math.random() * 256)}.${Math.floor(Math.random() * 256)}`;
    try {
      closers.add(await DnsServer.start(ZONE, host, 53));
      return host;
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

describe("DnsServer", () => {
  test("answers with its own records only", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const { address } = server;
    expect(await query(address, "SRV", SERVICE)).toEqual([
      ...["0 0 2379 m2.a.test", "0 0 2379 m2.a.test"],
      "1 5 2379 m1.a.test",
    ]);
    expect(await query(address, "A", "other.a.test")).toEqual(["127.0.0.1", "127.0.0.2"]);
    expect(await query(address, "AAAA", "m1.a.test")).toEqual(["::1"]);
    expect(await query(address, "A", "m2.a.test")).toBe("ENOTFOUND");
    expect(await query(address, "A", "m.example")).toBe("EREFUSED");
    const questions = ["A other.a.test", "AAAA m1.a.test", "A m2.a.test", "A m.example"];
    await until(() => server.questions.length === 5, "its log was read");
    expect(server.questions).toEqual([`SRV ${SERVICE}`, ...questions]);
  });

  test("change() replaces the records; stop() begins an outage and restart() ends it", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const { address } = server;
    for (let port = 1; port <= 10; port++) {
      await server.change({ srv: [srv("m9.a.test", port)] });
      expect(await query(address, "SRV", SERVICE)).toEqual([`0 0 ${port} m9.a.test`]);
    }

    await server.stop();
    expect(await query(address, "SRV", SERVICE)).toBeOneOf(["ECONNREFUSED", "ETIMEOUT"]);
    await server.restart();
    expect(await query(address, "SRV", SERVICE)).toEqual(["0 0 10 m9.a.test"]);
    await server.change({});
    expect(await query(address, "SRV", SERVICE)).toBe("ENOTFOUND");
  });

  test("answers over TCP if 64 records do not fit into a datagram", async () => {
    const records = Array.from({ length: 64 }, (_, i) => srv("m1.a.test", i + 1));
    const server = closers.add(await DnsServer.start({ srv: records }));
    expect(await query(server.address, "SRV", SERVICE)).toHaveLength(64);
    await until(() => server.questions.length === 2, "queries arrived over UDP and over TCP");
  });

  test("a silent TCP connection blocks neither other clients nor a restart", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const peer = await Peer.connect(server.port);
    closers.defer(() => peer.reset());
    expect(await query(server.address, "AAAA", "m1.a.test")).toEqual(["::1"]);
    await server.change(ZONE);
    expect(await query(server.address, "AAAA", "m1.a.test")).toEqual(["::1"]);
  });

  test("start() rejects if the port is taken", async () => {
    const { port } = closers.add(await DnsServer.start(ZONE));
    const second = DnsServer.start(ZONE, "127.0.0.1", port);
    await expect(second).rejects.toThrow("dnsmasq exited: ");
  });

  // Port 53 needs root.
  test("serves the system's resolver on port 53, for a program in a Hosts wrapper", async () => {
    const nameserver = await startOnPort53();
    const { wrapper } = closers.add(await Hosts.create("", { nameserver }));
    const text = await output([...wrapper, "getent", "ahostsv4", "alias.a.test"]);
    const addresses = text.split("\n").map((line) => line.split(" ")[0]);
    expect(new Set(addresses)).toEqual(new Set(["127.0.0.1", "127.0.0.2", ""]));
  });
});

describe("BrokenDns", () => {
  test.each<[fault: Fault, code: string]>([
    ["empty", "ENOTFOUND"],
    ["servfail", "ESERVFAIL"],
    ["nxdomain", "ENOTFOUND"],
    ["refused", "EREFUSED"],
    ["silent", "ETIMEOUT"],
    ["truncated", "ECONNREFUSED"],
  ])("fault %s causes %s in a resolver", async (fault, code) => {
    const broken = closers.add(await BrokenDns.start(fault));
    expect(await query(broken.address, "SRV", SERVICE)).toBe(code);
    expect(new Set(broken.questions)).toEqual(new Set([`SRV ${SERVICE}`]));
  });

  test("garbage never passes as records", async () => {
    const broken = closers.add(await BrokenDns.start("garbage"));
    const codes = new Set<unknown>();
    for (let i = 0; i < 20; i++) codes.add(await query(broken.address, "SRV", SERVICE));
    console.log(`FUZZ_SEED=${seed}: garbage was ${[...codes].join(", ")}`);
    expect([...codes].filter((code) => typeof code !== "string")).toEqual([]);
  }, 60_000);

  test("faults may affect some questions, change, and use the port of a stopped server", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const faults = (question: string) => (question.startsWith("SRV ") ? "servfail" : undefined);
    const broken = closers.add(await BrokenDns.start(faults, 0, { upstream: server }));
    const queryAll = async (address: string) => [
      await query(address, "SRV", SERVICE),
      await query(address, "A", "m1.a.test"),
    ];
    expect(await queryAll(broken.address)).toEqual(["ESERVFAIL", ["127.0.0.1", "127.0.0.2"]]);

    broken.faults = "refused";
    expect(await queryAll(broken.address)).toEqual(["EREFUSED", "EREFUSED"]);

    await server.stop();
    const instead = closers.add(await BrokenDns.start("servfail", server.port));
    expect(await queryAll(server.address)).toEqual(["ESERVFAIL", "ESERVFAIL"]);
    instead.close();
    await server.restart();
    expect(await query(server.address, "AAAA", "m1.a.test")).toEqual(["::1"]);
  });
});
