// The DNS servers of the other tests, themselves, as a resolver sees them.
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

/** One question, asked once, of a resolver that remembers nothing. */
async function ask(address: string, type: "A" | "AAAA" | "SRV", name: string): Promise<unknown> {
  const resolver = new dns.promises.Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([address]);
  try {
    const answers = (await resolver.resolve(name, type)) as (string | dns.SrvRecord)[];
    const texts = answers.map((answer) =>
      typeof answer === "string"
        ? answer
        : `${answer.priority} ${answer.weight} ${answer.port} ${answer.name}`,
    );
    return texts.toSorted();
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** An address of loopback that has a server now; another run of the tests may have taken some. */
async function onPort53(): Promise<string> {
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
  test("answers with its records and no others", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const { address } = server;
    expect(await ask(address, "SRV", SERVICE)).toEqual([
      ...["0 0 2379 m2.a.test", "0 0 2379 m2.a.test"],
      "1 5 2379 m1.a.test",
    ]);
    expect(await ask(address, "A", "other.a.test")).toEqual(["127.0.0.1", "127.0.0.2"]);
    expect(await ask(address, "AAAA", "m1.a.test")).toEqual(["::1"]);
    expect(await ask(address, "A", "m2.a.test")).toBe("ENOTFOUND");
    expect(await ask(address, "A", "m.example")).toBe("EREFUSED");
    const questions = ["A other.a.test", "AAAA m1.a.test", "A m2.a.test", "A m.example"];
    await until(() => server.questions.length === 5, "its log was read");
    expect(server.questions).toEqual([`SRV ${SERVICE}`, ...questions]);
  });

  test("change() puts other records in place; stop() and restart() are an outage", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const { address } = server;
    for (let port = 1; port <= 10; port++) {
      await server.change({ srv: [srv("m9.a.test", port)] });
      expect(await ask(address, "SRV", SERVICE)).toEqual([`0 0 ${port} m9.a.test`]);
    }
    await server.stop();
    expect(await ask(address, "SRV", SERVICE)).toBeOneOf(["ECONNREFUSED", "ETIMEOUT"]);
    await server.restart();
    expect(await ask(address, "SRV", SERVICE)).toEqual(["0 0 10 m9.a.test"]);
    await server.change({});
    expect(await ask(address, "SRV", SERVICE)).toBe("ENOTFOUND");
  });

  test("64 records do not fit into a datagram, and come over TCP", async () => {
    const records = Array.from({ length: 64 }, (_, i) => srv("m1.a.test", i + 1));
    const server = closers.add(await DnsServer.start({ srv: records }));
    expect(await ask(server.address, "SRV", SERVICE)).toHaveLength(64);
    await until(() => server.questions.length === 2, "it was asked over UDP and over TCP");
  });

  test("a TCP connection that says nothing keeps nobody waiting, nor the port", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const peer = await Peer.connect(server.port);
    closers.defer(() => peer.reset());
    expect(await ask(server.address, "AAAA", "m1.a.test")).toEqual(["::1"]);
    await server.change(ZONE);
    expect(await ask(server.address, "AAAA", "m1.a.test")).toEqual(["::1"]);
  });

  test("a port that is taken is an error", async () => {
    const { port } = closers.add(await DnsServer.start(ZONE));
    const second = DnsServer.start(ZONE, "127.0.0.1", port);
    await expect(second).rejects.toThrow("dnsmasq ended: ");
  });

  // A port below 1024 is root's.
  test("on port 53 it is the system's resolver of whoever sees Hosts", async () => {
    const nameserver = await onPort53();
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
  ])("%s is %s to a resolver", async (fault, code) => {
    const broken = closers.add(await BrokenDns.start(fault));
    expect(await ask(broken.address, "SRV", SERVICE)).toBe(code);
    expect(new Set(broken.questions)).toEqual(new Set([`SRV ${SERVICE}`]));
  });

  test("garbage is never an answer", async () => {
    const broken = closers.add(await BrokenDns.start("garbage"));
    const codes = new Set<unknown>();
    for (let i = 0; i < 20; i++) codes.add(await ask(broken.address, "SRV", SERVICE));
    console.log(`FUZZ_SEED=${seed}: garbage was ${[...codes].join(", ")}`);
    expect([...codes].filter((code) => typeof code !== "string")).toEqual([]);
  }, 60_000);

  test("faults may be of some questions, change, and take the port of a server that is away", async () => {
    const server = closers.add(await DnsServer.start(ZONE));
    const faults = (question: string) => (question.startsWith("SRV ") ? "servfail" : undefined);
    const broken = closers.add(await BrokenDns.start(faults, 0, { behind: server }));
    const askAll = async (address: string) => [
      await ask(address, "SRV", SERVICE),
      await ask(address, "A", "m1.a.test"),
    ];
    expect(await askAll(broken.address)).toEqual(["ESERVFAIL", ["127.0.0.1", "127.0.0.2"]]);
    broken.faults = "refused";
    expect(await askAll(broken.address)).toEqual(["EREFUSED", "EREFUSED"]);

    await server.stop();
    const instead = closers.add(await BrokenDns.start("servfail", server.port));
    expect(await askAll(server.address)).toEqual(["ESERVFAIL", "ESERVFAIL"]);
    instead.close();
    await server.restart();
    expect(await ask(server.address, "AAAA", "m1.a.test")).toEqual(["::1"]);
  });
});
