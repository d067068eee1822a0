// Injects faults into the members and one of the two proxies, one after another, repairs each,
// and says which failures it may explain.
import type { EtcdCluster, EtcdMember } from "../../support/etcd-cluster.ts";
import { oneOf, type Random } from "../../support/random-input.ts";
import { sizeBetween } from "../seeded.ts";
import type { Reports } from "./reports.ts";
import type { SoakProxy } from "./soak-proxy.ts";

// Clients notice a fault late if all cores are busy; a new leader needs a moment.
const SLACK_MS = 3000;

export interface FaultParts {
  readonly cluster: EtcdCluster;
  /** The one that is stopped; the other never is. */
  readonly proxy: SoakProxy;
  readonly random: Random;
  readonly reports: Reports;
}

export class ProxyFaults {
  /** Faults so far, by kind. */
  readonly counts = new Map<string, number>();
  readonly #parts: FaultParts;
  readonly #kinds: Readonly<Record<string, (member: EtcdMember, forMs: number) => Promise<void>>> =
    {
      "member killed": (member, forMs) => this.#kill([member], forMs),
      "member stopped": (member, forMs) => this.#stop(member, forMs),
      "member frozen": (member) => this.#freeze(member),
      "all members killed": (_, forMs) => this.#kill(this.#parts.cluster.members, forMs / 4),
      "proxy stopped": (_, forMs) => this.#restartProxy(true, forMs),
      "proxy killed": (_, forMs) => this.#restartProxy(false, forMs),
      "proxy frozen": (_, forMs) => this.#freezeProxy(forMs),
    };

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  /** Injects and repairs one fault after another until `endAt`, on performance.now()'s clock. */
  async run(endAt: number): Promise<void> {
    const { cluster, random } = this.#parts;
    let kinds: string[] = [];
    for (;;) {
      await Bun.sleep(sizeBetween(random, 200, 4000));
      if (performance.now() > endAt) return;
      // Each kind once before any is repeated.
      if (kinds.length === 0) kinds = Object.keys(this.#kinds);
      const kind = oneOf(random, kinds);
      kinds.splice(kinds.indexOf(kind), 1);
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
      await this.#kinds[kind]!(oneOf(random, cluster.members), sizeBetween(random, 50, 4000));
    }
  }

  async #kill(members: readonly EtcdMember[], forMs: number): Promise<void> {
    const names = members.map(({ name }) => name).join(", ");
    await this.#during(`${names} killed`, undefined, async () => {
      await Promise.all(members.map((member) => member.kill()));
      await Bun.sleep(forMs);
      for (const member of members) member.start();
      await this.#parts.cluster.healthy();
    });
  }

  async #stop(member: EtcdMember, forMs: number): Promise<void> {
    await this.#during(`${member.name} stopped`, undefined, async () => {
      member.signal("SIGTERM");
      await member.exited();
      await Bun.sleep(forMs);
      member.start();
      await this.#parts.cluster.healthy();
    });
  }

  async #freeze(member: EtcdMember): Promise<void> {
    await this.#during(`${member.name} frozen`, undefined, async () => {
      member.signal("SIGSTOP");
      await Bun.sleep(sizeBetween(this.#parts.random, 1000, 8000));
      member.signal("SIGCONT");
      await this.#parts.cluster.healthy();
    });
  }

  async #restartProxy(isGraceful: boolean, forMs: number): Promise<void> {
    const { proxy, reports } = this.#parts;
    const what = `proxy ${isGraceful ? "stopped" : "killed"}`;
    await this.#during(what, proxy.address, async () => {
      if (isGraceful) {
        const status = await proxy.stop();
        if (status !== 0) reports.wrong("proxy", `exit status ${status} after SIGTERM`);
      } else await proxy.close();
      await Bun.sleep(forMs / 4);
      await proxy.start();
    });
  }

  async #freezeProxy(forMs: number): Promise<void> {
    // It fails nothing: the calls wait.
    const { proxy, reports } = this.#parts;
    reports.operation("fault", "proxy frozen");
    proxy.process.signal("SIGSTOP");
    await Bun.sleep(forMs);
    proxy.process.signal("SIGCONT");
  }

  async #during(what: string, proxy: string | undefined, act: () => Promise<void>) {
    const { reports } = this.#parts;
    const excuse = reports.excuse(what, proxy);
    await act();
    reports.operation("fault", `${what}: over`);
    excuse.to = performance.now() + SLACK_MS;
  }
}
