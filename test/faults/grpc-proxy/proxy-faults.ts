// The rows about the gRPC proxies: how each injects its fault and heals it. The load is in
// proxy-clients.ts, the measurement in run.ts.
import type { Lab } from "../faults.ts";
import { withJwt } from "./expiring-tokens.ts";
import { MemberRelay } from "./member-relay.ts";
import type { Proxy, ProxyPlan } from "./proxies.ts";
import { floodResets } from "./reset-flood.ts";
import { SlowReaders } from "./slow-readers.ts";

export interface ProxyFault {
  readonly name: string;
  /** The time from injecting the fault to healing it. */
  readonly seconds: number;
  /** Requirements for our proxy, besides that nothing is wrong, lost, repeated or applied twice. */
  readonly requires?: { readonly failsNone?: boolean; readonly longestWaitMs?: number };
  /** Sets up what must exist before the proxies start. */
  readonly prepare: (lab: Lab) => Promise<PreparedProxyFault>;
}

/** A row that is ready to run. */
export interface PreparedProxyFault {
  readonly plan?: Partial<ProxyPlan>;
  inject(proxies: readonly Proxy[], prefixOf: (proxy: Proxy) => string): Promise<unknown>;
  heal(proxies: readonly Proxy[]): Promise<unknown>;
  /** Events that readers of the row's own lost, of those that were due; before `remove`. */
  lost?(proxy: Proxy): { readonly lost: number; readonly events: number };
  /** Undoes `prepare`. */
  remove?(): Promise<unknown>;
}

const nothing = () => Promise.resolve();
/** The members, both proxies and all clients share the machine, so that a start of etcd delays all. */
const UNNOTICED_MS = 3000;

export const PROXY_FAULTS: readonly ProxyFault[] = [
  {
    name: "none",
    seconds: 5,
    requires: { failsNone: true, longestWaitMs: UNNOTICED_MS },
    prepare: async () => ({ inject: nothing, heal: nothing }),
  },
  {
    name: "a member killed with SIGKILL, and restarted",
    seconds: 5,
    requires: { longestWaitMs: UNNOTICED_MS },
    prepare: async ({ cluster: { victim } }) => ({
      inject: () => victim.kill(),
      heal: async () => victim.start(),
    }),
  },
  {
    name: "a member restarted with SIGTERM",
    seconds: 5,
    requires: { longestWaitMs: UNNOTICED_MS },
    prepare: async ({ cluster: { victim } }) => ({
      inject: () => victim.restart(),
      heal: nothing,
    }),
  },
  {
    name: "the leader killed with SIGKILL, and restarted",
    seconds: 8,
    prepare: async ({ cluster: { survivor } }) => ({
      inject: () => survivor.kill(),
      heal: async () => survivor.start(),
    }),
  },
  ...[false, true].map((checksHealth) => ({
    name: `a member frozen (SIGSTOP)${checksHealth ? ", with health checks" : ""}`,
    seconds: 13,
    prepare: async ({ cluster: { victim } }: Lab) => ({
      plan: { checksHealth },
      inject: async () => victim.signal("SIGSTOP"),
      heal: async () => victim.signal("SIGCONT"),
    }),
  })),
  {
    name: "power loss: a member disappears without a FIN",
    seconds: 30,
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
  {
    name: "the connections to a member reset each second",
    seconds: 6,
    requires: { longestWaitMs: UNNOTICED_MS },
    prepare: async ({ cluster }) => {
      const relay = await MemberRelay.start(cluster.victim.host);
      const [, ...others] = cluster.addresses;
      return {
        plan: { endpoints: [relay.address, ...others] },
        async inject() {
          for (let i = 0; i < 5; i++) {
            relay.resetAll();
            await Bun.sleep(1000);
          }
        },
        heal: nothing,
        remove: () => relay.close(),
      };
    },
  },
  {
    name: "all members killed, and restarted after 3 s",
    seconds: 3,
    prepare: async ({ cluster: { members } }) => ({
      inject: () => Promise.all(members.map((member) => member.kill())),
      heal: async () => members.forEach((member) => member.start()),
    }),
  },
  {
    name: "the proxy stopped with SIGTERM, and restarted once it has exited",
    seconds: 5,
    prepare: async () => ({
      inject: (proxies) =>
        Promise.all(proxies.map((proxy) => proxy.stop().then(() => proxy.spawn()))),
      heal: nothing,
    }),
  },
  {
    name: "the proxy killed with SIGKILL each second, and restarted at once",
    seconds: 5,
    prepare: async () => ({
      async inject(proxies) {
        for (let i = 0; i < 4; i++) {
          await Promise.all(proxies.map((proxy) => proxy.close().then(() => proxy.spawn())));
          await Bun.sleep(1000);
        }
      },
      heal: nothing,
    }),
  },
  {
    name: "four clients that do not read their watches, 48 KiB each event",
    seconds: 10,
    requires: { failsNone: true, longestWaitMs: UNNOTICED_MS },
    prepare: async () => {
      const readers = new SlowReaders();
      return {
        plan: { isBulk: true },
        inject: (proxies, prefixOf) =>
          Promise.all(proxies.map((proxy) => readers.open(proxy, prefixOf(proxy)))),
        heal: async () => readers.resume(),
        lost: (proxy) => readers.lost(proxy),
        remove: async () => readers.close(),
      };
    },
  },
  {
    name: "a client that resets 500 calls every 100 ms",
    seconds: 5,
    requires: { failsNone: true, longestWaitMs: UNNOTICED_MS },
    prepare: async () => ({
      inject: (proxies) => Promise.all(proxies.map(({ port }) => floodResets(port, 4500))),
      heal: nothing,
    }),
  },
  {
    name: "tokens of etcd expire each 3 s; clients request others",
    seconds: 10,
    prepare: async ({ cluster }) => {
      const { login, remove } = await withJwt(cluster, "3s");
      return { plan: { login }, inject: nothing, heal: nothing, remove };
    },
  },
];

/** The rows of `--short`. */
export const SHORT_PROXY_FAULTS = new Set(["a member killed with SIGKILL, and restarted"]);
