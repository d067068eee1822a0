// Our resolver compared with Go's (GODEBUG=netdns=go), name by name, with the same files
// and servers. Skipped, with a line that says so, if Go is not installed.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BrokenDns, type Fault } from "../support/broken-dns.ts";
import { DnsServer, type Zone } from "../support/dns-server.ts";
import { Closers, output } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";

setDefaultTimeout(180_000);

const go = Bun.which("go");
if (go === null)
  console.log("SKIPPED: the comparison with Go's resolver, since go is not installed");

const closers = new Closers();
let folder = "";
let goProgram = "";

const ZONE: Zone = {
  hosts: {
    "four.a.test": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    "six.a.test": ["2001:db8::1"],
    "both.a.test": ["127.0.0.1", "::1"],
    "mixed.a.test": ["192.0.2.9", "2001:db8::9", "127.0.0.9"],
    "short.b.test": ["192.0.2.4"],
    "a.b.c.a.test": ["192.0.2.5"],
    "listed.a.test": ["192.0.2.6"],
  },
  cnames: {
    "alias.a.test": "four.a.test",
    "alias2.a.test": "alias.a.test",
    "dead.a.test": "none.a.test",
  },
  srv: [
    { name: "_etcd-client._tcp.a.test", target: "four.a.test", port: 2379, priority: 1, weight: 5 },
    { name: "_etcd-client._tcp.a.test", target: "six.a.test", port: 2380, priority: 2 },
    { name: "_etcd-client._tcp.many.test", target: ".", port: 0 },
    { name: "_etcd-client._tcp.etcd.b.test", target: "short.b.test", port: 2379 },
    ...Array.from({ length: 100 }, (_, i) => ({
      name: "_large._tcp.a.test",
      target: `member-${i}.cluster.a.test`,
      port: 2379,
      priority: i,
    })),
  ],
};

const HOSTS = `192.0.2.66 listed.a.test twice
192.0.2.67 twice TWICE.a.test # comment
::1 six-local
127.0.0.1 six-local
fe80::1%lo zone
bad line
`;

const NAMES = [
  ...["four.a.test", "FOUR.a.test", "four.a.test.", "six.a.test", "both.a.test", "mixed.a.test"],
  ...["short", "short.", "a.b.c", "four", "alias.a.test", "alias2.a.test", "dead.a.test"],
  ...["none.a.test", "none", "m.example", "x.onion", "localhost", "listed.a.test", "twice"],
  ...["twice.a.test.", "six-local", "bad", "-bad-.a.test", "a..test", "1", "1.2.3", "_x.a.test"],
  "x".repeat(64),
];
const SRV_NAMES = [
  ...["_etcd-client._tcp.a.test", "_etcd-client._tcp.etcd", "_etcd-client._tcp.none.test"],
  ...[
    "_large._tcp.a.test",
    "_etcd-client._tcp.m.example",
    "four.a.test",
    "_etcd-client._tcp.etcd.",
  ],
];

/** A line of either program. */
interface LookupLine {
  readonly found: readonly string[];
  readonly notFound: boolean;
  readonly isTimeout: boolean;
  readonly seconds: number;
}

interface Comparable {
  readonly found: readonly string[];
  readonly isSix: boolean;
  readonly notFound: boolean;
  readonly isTimeout: boolean;
}

beforeAll(async () => {
  if (go === null) return;
  folder = await mkdtemp(join(tmpdir(), "etcd-gateway-go-"));
  goProgram = join(folder, "lookup");
  const cwd = fileURLToPath(new URL("../dns/go-lookup", import.meta.url));
  const env = {
    HOME: folder,
    GOCACHE: join(folder, "cache"),
    CGO_ENABLED: "0",
    GOTOOLCHAIN: "local",
  };
  await output([go, "build", "-o", goProgram, "."], { cwd, env });
});

afterAll(async () => {
  await closers.close();
  if (folder !== "") await rm(folder, { recursive: true, force: true });
});

/** Returns the results of both resolvers with these files. */
async function compare(resolv: string, nsswitch: string, words: readonly string[]) {
  const hosts = await Hosts.create(HOSTS, { resolv, nsswitch });
  try {
    const ownProgram = fileURLToPath(new URL("../dns/lookup-program.ts", import.meta.url));
    const read = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as LookupLine);
    const [oursText, goText] = await Promise.all([
      output([...hosts.wrapper, process.execPath, ownProgram, ...words]),
      output([...hosts.wrapper, goProgram, ...words], { env: { GODEBUG: "netdns=go" } }),
    ]);
    return { ours: read(oursText).map(comparable), go: read(goText).map(comparable) };
  } finally {
    await hosts.close();
  }
}

/** Reduces records to their set and the first one's family, because dnsmasq rotates their order. */
function comparable({ found, notFound, isTimeout }: LookupLine): Comparable {
  const isSix = found[0]?.includes(":") ?? false;
  return { found: [...new Set(found)].sort(), isSix, notFound, isTimeout };
}

/** Starts a server at port 53 of a random loopback address; returns the address. */
async function onPort53<T extends { close(): unknown }>(start: (host: string) => Promise<T>) {
  for (let attempt = 1; ; attempt++) {
    const host = `127.54.${Math.floor(Math.random() * 250)}.${1 + Math.floor(Math.random() * 250)}`;
    try {
      closers.add(await start(host));
      return host;
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

const words = [
  ...NAMES.flatMap((name) => ["host", name]),
  ...SRV_NAMES.flatMap((name) => ["srv", name]),
];

describe.skipIf(go === null)("our resolver returns what Go's returns", () => {
  const rows: [resolv: string, nsswitch: string][] = [
    ["", "hosts: files dns"],
    ["search a.test b.test", "hosts: dns files"],
    ["search b.test a.test\noptions ndots:3", "hosts: files dns"],
    ["options use-vc single-request", "hosts: files dns"],
    ["domain a.test\noptions edns0 trust-ad rotate", "hosts: dns"],
    ["search a.test", "hosts: files"],
    ["search a.test", ""],
  ];
  test.each(rows)(
    "with the resolv.conf lines %j and the nsswitch.conf line %j",
    async (options, nsswitch) => {
      const host = await onPort53((address) => DnsServer.start(ZONE, address, 53));
      const { ours, go: theirs } = await compare(
        `nameserver ${host}\n${options}\n`,
        nsswitch,
        words,
      );
      const byName = (results: readonly Comparable[]) =>
        results.map(({ found, isSix, isTimeout }, i) => [
          words[2 * i + 1],
          found,
          isSix,
          isTimeout,
        ]);
      expect(byName(ours)).toEqual(byName(theirs));
      // If the lookup of one name of the search list fails and the next name does not exist, Go
      // reports the missing name, and we report the failure. For a name under .onion Go returns
      // no addresses and no error.
      for (const [i, { notFound }] of ours.entries())
        if (notFound && words[2 * i + 1] !== "x.onion")
          expect([words[2 * i + 1], theirs[i]!.notFound]).toEqual([words[2 * i + 1], true]);
      expect(ours.filter(({ found }) => found.length > 0).length).toBeGreaterThan(4);
    },
  );

  test.each<Fault>(["servfail", "refused", "notimp", "silent", "truncated", "empty", "nxdomain"])(
    "with a first server whose fault is %s",
    async (fault) => {
      const first = await onPort53((host) => BrokenDns.start(fault, 53, { host }));
      const second = await onPort53((host) => DnsServer.start(ZONE, host, 53));
      const resolv = `nameserver ${first}\nnameserver ${second}\noptions timeout:1\n`;
      const few = ["host", "four.a.test", "host", "none.a.test", "srv", "_etcd-client._tcp.a.test"];
      const { ours, go: theirs } = await compare(resolv, "hosts: files dns", few);
      expect(ours).toEqual(theirs);
    },
  );
});
