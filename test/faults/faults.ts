// What breaks, one thing a row, and how it is mended. How clients are busy
// meanwhile, and what they saw, is elsewhere.
import { Closers, requireTool } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import { DnsServer } from "../support/dns-server.ts";
import type { Cluster } from "./cluster.ts";
import { probeEcho, startEchoServer } from "./echo.ts";
import type { Gateway, GatewayPlan } from "./gateways.ts";
import { holdIdle } from "./held.ts";
import type { Workload } from "./load.ts";
import { DNS_HOST, type Network, NOBODY_HOST } from "./network.ts";
import type { WireFault } from "./wire.ts";

export interface Lab {
  readonly network: Network;
  readonly cluster: Cluster;
}

export interface Fault {
  readonly name: string;
  /** From the strike to the mending, in seconds. */
  readonly lasts: number;
  /** What must hold for ours, beside no wrong byte. */
  readonly mustHold?: { readonly failsNone?: boolean; readonly longestWaitMs?: number };
  /** Connections to the victim are held from before on, and their ends awaited. */
  readonly holdsClients?: boolean;
  readonly workload?: Workload;
  /** All that comes before the gateways start. */
  readonly arrange: (lab: Lab) => Promise<Arranged>;
}

/** A row that is ready to begin. */
export interface Arranged {
  readonly plan?: Partial<GatewayPlan>;
  strike(gateways: readonly Gateway[]): Promise<unknown>;
  heal(gateways: readonly Gateway[]): Promise<unknown>;
  /** Takes back what `arrange` did. What it returns is printed beside the row's name. */
  remove?(): Promise<string | void>;
}

const nothing = () => Promise.resolve();
/** Ours are asked no more than this of a client that meets silence: what a person does not notice. */
const UNNOTICED_MS = 1000;
const DESCRIPTORS = 256;
const IDLE_CLIENTS = 150;

export const FAULTS: readonly Fault[] = [
  {
    name: "none",
    lasts: 5,
    mustHold: { failsNone: true },
    arrange: async () => ({ strike: nothing, heal: nothing }),
  },
  onWire("50 ms of delay each way", 6, { delayMs: 50 }),
  onWire("200 ms of delay each way", 6, { delayMs: 200 }),
  onWire("5 % of packets lost", 8, { loss: 0.05 }),
  onWire("5 % of packets doubled", 5, { duplication: 0.05 }),
  {
    name: "5 % of packets lost, bulk echo",
    lasts: 8,
    mustHold: { failsNone: true },
    workload: "echo",
    arrange: async (lab) => {
      const closers = new Closers();
      const echo = closers.add(await startEchoServer(lab.network, lab.cluster.victim));
      const wired = await onWire("", 0, { loss: 0.05 }).arrange(lab);
      const remove = async () => {
        await closers.close();
        return await wired.remove!();
      };
      return { ...wired, plan: { endpoints: [echo.address], probe: probeEcho }, remove };
    },
  },
  {
    ...onWire("SYNs swallowed, what is established lives", 6, { swallowSynsTo: 2379 }),
    mustHold: { failsNone: true, longestWaitMs: UNNOTICED_MS },
  },
  {
    name: "a fourth endpoint that swallows everything, from the start",
    lasts: 5,
    mustHold: { failsNone: true, longestWaitMs: UNNOTICED_MS },
    arrange: async ({ cluster }) => ({
      plan: { endpoints: [`${NOBODY_HOST}:2379`, ...cluster.addresses] },
      strike: nothing,
      heal: nothing,
    }),
  },
  {
    name: "partition: a member's packets vanish both ways",
    lasts: 12,
    arrange: async ({ network }) => ({
      strike: () => network.unplug(0),
      heal: () => network.plug(0),
    }),
  },
  ...[false, true].map((asksHealth) => ({
    name: `a member frozen (SIGSTOP)${andHealth(asksHealth)}`,
    lasts: 13,
    arrange: async ({ cluster: { victim } }: Lab) => ({
      plan: { asksHealth },
      strike: async () => victim.signal("SIGSTOP"),
      heal: async () => victim.signal("SIGCONT"),
    }),
  })),
  {
    name: "power loss: a member is gone without a FIN",
    lasts: 45,
    holdsClients: true,
    arrange: async ({ network, cluster: { victim } }) => ({
      async strike() {
        await network.darken(0);
        await victim.kill();
      },
      async heal() {
        await network.light(0);
        victim.start();
      },
    }),
  },
  ...[false, true].map((asksHealth) => ({
    name: `a member cut from its quorum, not from clients${andHealth(asksHealth)}`,
    lasts: 12,
    arrange: async ({ network }: Lab) => ({
      plan: { asksHealth },
      strike: () => network.isolateFromPeers(0),
      heal: () => network.rejoinPeers(0),
    }),
  })),
  ...[false, true].map((asksHealth) => ({
    name: `a member out of its storage quota (NOSPACE)${andHealth(asksHealth)}`,
    lasts: 6,
    arrange: async ({ cluster }: Lab) => {
      await cluster.limitVictim(16 << 20);
      return {
        plan: { asksHealth },
        strike: () => cluster.fillVictim("filler/"),
        heal: () => cluster.relieveVictim("filler/"),
        remove: () => cluster.unlimitVictim(),
      };
    },
  })),
  withoutDns("DNS gone: its server refuses", {
    strike: (_, dns) => dns.stop(),
    heal: (_, dns) => dns.restart(),
  }),
  withoutDns("DNS gone: its server is silent", {
    strike: (network) => network.serveDns(false),
    heal: (network) => network.serveDns(true),
  }),
  {
    name: `${IDLE_CLIENTS} idle clients more, and ${DESCRIPTORS} descriptors`,
    lasts: 6,
    arrange: async () => {
      let release = () => {};
      return {
        plan: { wrapper: [requireTool("prlimit"), `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`] },
        async strike(gateways) {
          const held = await Promise.all(gateways.map(({ port }) => holdIdle(port, IDLE_CLIENTS)));
          release = () => held.forEach((clients) => clients.release());
        },
        heal: async () => release(),
      };
    },
  },
  {
    name: "the gateway killed with -9 each second, and restarted at once",
    lasts: 5,
    arrange: async () => ({
      async strike(gateways) {
        for (let i = 0; i < 4; i++) {
          await Promise.all(gateways.map((gateway) => gateway.crash()));
          await Bun.sleep(1000);
        }
      },
      heal: nothing,
    }),
  },
  {
    name: "a member killed with -9, and restarted",
    lasts: 5,
    arrange: async ({ cluster: { victim } }) => ({
      strike: () => victim.kill(),
      heal: async () => victim.start(),
    }),
  },
];

/** For `--short`: what ours must hide from every client. */
export const SHORT = new Set([
  "200 ms of delay each way",
  "5 % of packets lost",
  "SYNs swallowed, what is established lives",
]);

function andHealth(asksHealth: boolean): string {
  return asksHealth ? ", health asked" : "";
}

function onWire(name: string, lasts: number, harm: WireFault): Fault {
  return {
    name,
    lasts,
    mustHold: { failsNone: true },
    arrange: async ({ network }) => {
      const wire = await network.wire(0);
      return {
        strike: () => wire.set(harm),
        heal: () => wire.set({}),
        async remove() {
          const { carried, lost, doubled, swallowed } = await wire.close();
          const told = Object.entries({ lost, doubled, "SYNs swallowed": swallowed });
          const harmed = told.filter(([, count]) => count > 0);
          const of = `of ${carried + lost + swallowed} packets`;
          return harmed.map(([what, count]) => `${count} ${of} ${what}`).join(", ");
        },
      };
    },
  };
}

/** Endpoints are names here, of a server that is struck. */
function withoutDns(
  name: string,
  { strike, heal }: Record<"strike" | "heal", (network: Network, dns: DnsServer) => Promise<void>>,
): Fault {
  return {
    name,
    lasts: 5,
    arrange: async ({ network, cluster }) => {
      await network.serveDns(true);
      const hosts = cluster.members.map(({ host, index }) => [`m${index}.test`, [host]]);
      const dns = await DnsServer.start({ hosts: Object.fromEntries(hosts) }, DNS_HOST, 53);
      const files = await Hosts.create("", { nameserver: DNS_HOST });
      const endpoints = cluster.members.map(({ index }) => `m${index}.test:2379`);
      return {
        plan: { endpoints, wrapper: files.wrapper },
        strike: () => strike(network, dns),
        heal: () => heal(network, dns),
        async remove() {
          await dns.close();
          await files.close();
          await network.serveDns(false);
        },
      };
    },
  };
}
