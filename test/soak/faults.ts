// What goes wrong on purpose, one thing after the other and always made good
// again, and which failures of conversations that explains. Server 0 is spared,
// but for the moment when all are shut: what it serves must not fail.
import { Blackhole } from "../support/blackhole.ts";
import { oneOf, type Random } from "../support/random-input.ts";
import type { Failure } from "./load.ts";
import type { GatewayConfig, SoakGateway } from "./soak-gateway.ts";
import { sizeBetween } from "./seeded.ts";
import type { ServerProcess } from "./server-process.ts";

/** How long relays to a server that left may go on. */
export const DRAIN_MS = 1000;

// The gateway's timers and this process' own are late when both cores are busy.
const SLACK_MS = 250;

/** Something that may end conversations that were under way in its time. */
interface Excuse {
  readonly what: string;
  /** Undefined: of all. */
  readonly server: number | undefined;
  /** Whoever had been answered was not touched by it. */
  readonly isOfUnservedOnly: boolean;
  /** From here on conversations end by it... */
  readonly from: number;
  /** ...and those that began later were not touched by it. Both on performance.now()'s clock. */
  to: number;
}

export interface FaultsDeps {
  readonly servers: readonly ServerProcess[];
  readonly gateway: SoakGateway;
  readonly random: Random;
  readonly flood: (clients: number) => Promise<void>;
}

type Fault = (server: ServerProcess, forMs: number) => Promise<void>;

export class Faults {
  /** So far, of each kind. */
  readonly counts = new Map<string, number>();
  readonly #deps: FaultsDeps;
  readonly #excuses: Excuse[] = [];
  readonly #kinds: Readonly<Record<string, Fault>> = {
    kill: (server, forMs) => this.#kill(server, forMs),
    freeze: (server, forMs) => this.#freeze(server, forMs),
    shut: (server, forMs) => this.#shut([server], forMs),
    "all shut": (_, forMs) => this.#shut(this.#deps.servers, Math.min(forMs, 300)),
    leave: (server, forMs) => this.#leave(server, forMs),
    silent: (_, forMs) => this.#silent(forMs),
    policy: () => this.#policy(),
    reloads: () => this.#reloads(),
    flood: () => this.#deps.flood(200 + this.#deps.random(1800)),
  };

  constructor(deps: FaultsDeps) {
    this.#deps = deps;
  }

  /** One fault after the other until `endAt`, on performance.now()'s clock; all is made good then. */
  async run(endAt: number): Promise<void> {
    const { random, servers } = this.#deps;
    const kinds = Object.keys(this.#kinds);
    for (;;) {
      await Bun.sleep(sizeBetween(random, 200, 4000));
      const kind = oneOf(random, kinds);
      const server = servers[1 + random(servers.length - 1)]!;
      const forMs = sizeBetween(random, 50, 4000);
      if (performance.now() + forMs > endAt) return;
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
      await this.#kinds[kind]!(server, forMs);
    }
  }

  /** What explains that a conversation failed; undefined: nothing does. */
  explain({ server, startedAt, endedAt, isWrong }: Omit<Failure, "number" | "kind" | "what">) {
    if (isWrong) return undefined;
    return this.#excuses.find(
      (excuse) =>
        startedAt <= excuse.to &&
        endedAt >= excuse.from &&
        (server === undefined || (server === excuse.server && !excuse.isOfUnservedOnly)),
    )?.what;
  }

  /** The last excuses, for a failure that none explains. */
  recent(now: number): string {
    const ago = (ms: number) =>
      ms === Number.POSITIVE_INFINITY ? "now" : `${Math.round(now - ms)}`;
    return this.#excuses
      .slice(-3)
      .map(({ what, from, to }) => `${what} ${ago(from)} to ${ago(to)} ms ago`)
      .join(", ");
  }

  async #kill(server: ServerProcess, forMs: number): Promise<void> {
    const excuse = this.#excuse(`server ${server.number} was killed`, server.number);
    await server.kill();
    excuse.to = performance.now();
    await Bun.sleep(forMs);
    await server.start();
  }

  async #freeze(server: ServerProcess, forMs: number): Promise<void> {
    server.freeze();
    await Bun.sleep(forMs);
    server.thaw();
  }

  /** Who waits to be accepted at that moment is reset by the server's kernel. */
  async #shut(servers: readonly ServerProcess[], forMs: number): Promise<void> {
    const isAll = servers.length > 1;
    const what = isAll ? "all servers were shut" : `server ${servers[0]!.number} was shut`;
    const excuse = this.#excuse(what, isAll ? undefined : servers[0]!.number, {
      isOfUnservedOnly: true,
    });
    await Promise.all(servers.map((server) => server.shut()));
    // One that is shut must cost nobody anything; all of them refuse everybody.
    if (!isAll) excuse.to = performance.now();
    await Bun.sleep(forMs);
    await Promise.all(servers.map((server) => server.open()));
    if (isAll) excuse.to = performance.now();
  }

  async #leave(server: ServerProcess, forMs: number): Promise<void> {
    const { gateway } = this.#deps;
    const before = gateway.config;
    const endpoints = before.endpoints.filter((address) => address !== server.address);
    // Back well before its relays are cut, or well after.
    const isBrief = forMs < DRAIN_MS;
    const awayMs = isBrief ? Math.min(forMs, DRAIN_MS / 2) : forMs + 2 * SLACK_MS;
    if (!isBrief) {
      const from = performance.now() + DRAIN_MS - SLACK_MS;
      const excuse = this.#excuse(`server ${server.number} left`, server.number, { from });
      await this.#reload({ ...before, endpoints });
      excuse.to = performance.now();
    } else await this.#reload({ ...before, endpoints });
    await Bun.sleep(awayMs);
    await this.#reload({ ...gateway.config, endpoints: before.endpoints });
  }

  /** An endpoint that swallows all packets joins for a while. */
  async #silent(forMs: number): Promise<void> {
    const { gateway } = this.#deps;
    const before = gateway.config;
    const blackhole = new Blackhole();
    const endpoints = [...before.endpoints, `127.0.0.1:${blackhole.port}`];
    await this.#reload({ ...before, endpoints });
    await Bun.sleep(forMs);
    await this.#reload(before);
    blackhole.close();
  }

  async #policy(): Promise<void> {
    const { gateway } = this.#deps;
    const isEven = gateway.config.policy === "round-robin";
    await this.#reload({
      ...gateway.config,
      policy: isEven ? "least-connections" : "round-robin",
    });
  }

  /** Broken files, which change nothing, and signals faster than they can be served. */
  async #reloads(): Promise<void> {
    const { gateway, random } = this.#deps;
    await gateway.reloadBroken(oneOf(random, ["", "endpoints: [a:1\n", "policy: none\n"]));
    for (let i = 0; i < 20; i++) gateway.hangUp();
    await this.#reload(gateway.config);
    // That may have been an earlier signal's: let the last one have its turn.
    await Bun.sleep(SLACK_MS);
  }

  async #reload(config: GatewayConfig): Promise<void> {
    await this.#deps.gateway.reload(config);
  }

  #excuse(what: string, server: number | undefined, wishes: Partial<Excuse> = {}): Excuse {
    const from = performance.now();
    const to = Number.POSITIVE_INFINITY;
    const excuse = { what, server, isOfUnservedOnly: false, from, to, ...wishes };
    this.#excuses.push(excuse);
    return excuse;
  }
}
