// The faults: how each row of the table injects one and heals it. The load is in
// load.ts, the measurement in main.ts.
import { Closers, requireTool } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import { DnsServer } from "../support/dns-server.ts";
import type { Cluster } from "./cluster.ts";
import { probeEcho, startEchoServer } from "./echo.ts";
import type { Gateway, GatewayPlan } from "./gateways.ts";
import { holdIdle } from "./held.ts";
import type { Workload } from "./load.ts";
import { DNS_HOST, type Network, UNUSED_HOST } from "./network.ts";
import type { WireFault } from "./wire.ts";

export interface Lab {
  readonly network: Network;
  readonly cluster: Cluster;
}

export interface Fault {
  readonly name: string;
  /** The time from injecting the fault to healing it. */
  readonly seconds: number;
  /** Requirements for our gateway, besides that no byte is wrong. */
  readonly requires?: { readonly failsNone?: boolean; readonly longestWaitMs?: number };
  /** Opens connections to the victim before the fault, and measures when they end. */
  readonly holdsClients?: boolean;
  readonly workload?: Workload;
  /** Sets up what must exist before the gateways start. */
  readonly prepare: (lab: Lab) => Promise<Prepared>;
}

/** A row that is ready to run. */
export interface Prepared {
  readonly plan?: Partial<GatewayPlan>;
  inject(gateways: readonly Gateway[]): Promise<unknown>;
  heal(gateways: readonly Gateway[]): Promise<unknown>;
  /** Undoes `prepare`. A returned text is printed next to the row's name. */
  remove?(): Promise<string | void>;
}

const nothing = () => Promise.resolve();
/** The longest a client of ours may wait when an endpoint is silent; people do not notice less. */
const UNNOTICED_MS = 1000;
const DESCRIPTORS = 256;
const IDLE_CLIENTS = 150;

export const FAULTS: readonly Fault[] = [
  {
    name: "none",
    seconds: 5,
    requires: { failsNone: true },
    prepare: async () => ({ inject: nothing, heal: nothing }),
  },
  onWire("50 ms of delay each way", 6, { delayMs: 50 }),
  onWire("200 ms of delay each way", 6, { delayMs: 200 }),
  onWire("5 % of packets lost", 8, { loss: 0.05 }),
  onWire("5 % of packets duplicated", 5, { duplication: 0.05 }),
  {
    name: "5 % of packets lost, bulk echo",
    seconds: 8,
    requires: { failsNone: true },
    workload: "echo",
    prepare: async (lab) => {
      const closers = new Closers();
      const echo = closers.add(await startEchoServer(lab.network, lab.cluster.victim));
      const wired = await onWire("", 0, { loss: 0.05 }).prepare(lab);
      const remove = async () => {
        await closers.close();
        return await wired.remove!();
      };
      return { ...wired, plan: { endpoints: [echo.address], probe: probeEcho }, remove };
    },
  },
  {
    ...onWire("SYNs dropped, established connections unaffected", 6, { dropSynsTo: 2379 }),
    requires: { failsNone: true, longestWaitMs: UNNOTICED_MS },
  },
  {
    name: "a fourth endpoint that drops every packet, from the start",
    seconds: 5,
    requires: { failsNone: true, longestWaitMs: UNNOTICED_MS },
    prepare: async ({ cluster }) => ({
      plan: { endpoints: [`${UNUSED_HOST}:2379`, ...cluster.addresses] },
      inject: nothing,
      heal: nothing,
    }),
  },
  {
    name: "partition: a member's packets are lost both ways",
    seconds: 12,
    prepare: async ({ network }) => ({
      inject: () => network.unplug(0),
      heal: () => network.plug(0),
    }),
  },
  ...[false, true].map((checksHealth) => ({
    name: `a member frozen (SIGSTOP)${withHealthChecks(checksHealth)}`,
    seconds: 13,
    prepare: async ({ cluster: { victim } }: Lab) => ({
      plan: { checksHealth },
      inject: async () => victim.signal("SIGSTOP"),
      heal: async () => victim.signal("SIGCONT"),
    }),
  })),
  {
    name: "power loss: a member disappears without a FIN",
    seconds: 45,
    holdsClients: true,
    prepare: async ({ network, cluster: { victim } }) => ({
      async inject() {
        await network.setLinkDown(0);
        await victim.kill();
      },
      async heal() {
        await network.setLinkUp(0);
        victim.start();
      },
    }),
  },
  ...[false, true].map((checksHealth) => ({
    name: `a member cut off from its quorum, not from clients${withHealthChecks(checksHealth)}`,
    seconds: 12,
    prepare: async ({ network }: Lab) => ({
      plan: { checksHealth },
      inject: () => network.isolateFromPeers(0),
      heal: () => network.rejoinPeers(0),
    }),
  })),
  ...[false, true].map((checksHealth) => ({
    name: `a member out of its storage quota (NOSPACE)${withHealthChecks(checksHealth)}`,
    seconds: 6,
    prepare: async ({ cluster }: Lab) => {
      await cluster.limitVictim(16 << 20);
      return {
        plan: { checksHealth },
        inject: () => cluster.fillVictim("filler/"),
        heal: () => cluster.relieveVictim("filler/"),
        remove: () => cluster.unlimitVictim(),
      };
    },
  })),
  withoutDns("DNS outage: the server refuses", {
    inject: (_, dns) => dns.stop(),
    heal: (_, dns) => dns.restart(),
  }),
  withoutDns("DNS outage: the server is silent", {
    inject: (network) => network.serveDns(false),
    heal: (network) => network.serveDns(true),
  }),
  {
    name: `${IDLE_CLIENTS} additional idle clients, and ${DESCRIPTORS} descriptors`,
    seconds: 6,
    prepare: async () => {
      let release = () => {};
      return {
        plan: { wrapper: [requireTool("prlimit"), `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`] },
        async inject(gateways) {
          const held = await Promise.all(gateways.map(({ port }) => holdIdle(port, IDLE_CLIENTS)));
          release = () => held.forEach((clients) => clients.release());
        },
        heal: async () => release(),
      };
    },
  },
  {
    name: "the gateway killed with SIGKILL each second, and restarted at once",
    seconds: 5,
    prepare: async () => ({
      async inject(gateways) {
        for (let i = 0; i < 4; i++) {
          await Promise.all(gateways.map((gateway) => gateway.crash()));
          await Bun.sleep(1000);
        }
      },
      heal: nothing,
    }),
  },
  {
    name: "a member killed with SIGKILL, and restarted",
    seconds: 5,
    prepare: async ({ cluster: { victim } }) => ({
      inject: () => victim.kill(),
      heal: async () => victim.start(),
    }),
  },
];

/** The rows of `--short`: faults that our gateway must hide from every client. */
export const SHORT = new Set([
  "200 ms of delay each way",
  "5 % of packets lost",
  "SYNs dropped, established connections unaffected",
]);

function withHealthChecks(checksHealth: boolean): string {
  return checksHealth ? ", with health checks" : "";
}

function onWire(name: string, seconds: number, harm: WireFault): Fault {
  return {
    name,
    seconds,
    requires: { failsNone: true },
    prepare: async ({ network }) => {
      const wire = await network.wire(0);
      return {
        inject: () => wire.set(harm),
        heal: () => wire.set({}),
        async remove() {
          const { carried, lost, duplicated, droppedSyns } = await wire.close();
          const counts = Object.entries({ lost, duplicated, dropped: droppedSyns });
          const affected = counts.filter(([, count]) => count > 0);
          const of = `of ${carried + lost + droppedSyns} packets`;
          return affected.map(([what, count]) => `${count} ${of} ${what}`).join(", ");
        },
      };
    },
  };
}

/** Returns a fault of the DNS server that resolves the endpoints. */
function withoutDns(
  name: string,
  { inject, heal }: Record<"inject" | "heal", (network: Network, dns: DnsServer) => Promise<void>>,
): Fault {
  return {
    name,
    seconds: 5,
    prepare: async ({ network, cluster }) => {
      await network.serveDns(true);
      const hosts = cluster.members.map(({ host, index }) => [`m${index}.test`, [host]]);
      const dns = await DnsServer.start({ hosts: Object.fromEntries(hosts) }, DNS_HOST, 53);
      const files = await Hosts.create("", { nameserver: DNS_HOST });
      const endpoints = cluster.members.map(({ index }) => `m${index}.test:2379`);
      return {
        plan: { endpoints, wrapper: files.wrapper },
        inject: () => inject(network, dns),
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
