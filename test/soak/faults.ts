// Injects faults one after another, repairs each, and decides which failures of
// conversations they excuse. Server 0 gets no fault but the moment when all refuse
// connections, so conversations that it serves must not fail.
import { Blackhole } from "../support/blackhole.ts";
import { oneOf, type Random } from "../support/random-input.ts";
import type { Failure } from "./load.ts";
import type { GatewayConfig, SoakGateway } from "./soak-gateway.ts";
import { sizeBetween } from "./seeded.ts";
import type { ServerProcess } from "./server-process.ts";

/** How long relays to a removed server may continue. */
export const DRAIN_MS = 1000;

// The timers of the gateway and of this process fire late if all cores are busy.
const SLACK_MS = 250;

/** A fault that may end conversations which were open between `from` and `to`. */
interface Excuse {
  readonly message: string;
  /** The server concerned; undefined: all. */
  readonly server: number | undefined;
  /** Whether it excuses only conversations that no server had answered. */
  readonly isUnservedOnly: boolean;
  /** Conversations that ended earlier are not excused. On performance.now()'s clock, as is `to`. */
  readonly from: number;
  /** Conversations that started later are not excused. */
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
  /** Faults injected so far, by kind. */
  readonly counts = new Map<string, number>();
  readonly #deps: FaultsDeps;
  readonly #excuses: Excuse[] = [];
  readonly #kinds: Readonly<Record<string, Fault>> = {
    kill: (server, forMs) => this.#kill(server, forMs),
    freeze: (server, forMs) => this.#freeze(server, forMs),
    refuse: (server, forMs) => this.#refuse([server], forMs),
    "all refuse": (_, forMs) => this.#refuse(this.#deps.servers, Math.min(forMs, 300)),
    remove: (server, forMs) => this.#remove(server, forMs),
    blackhole: (_, forMs) => this.#blackhole(forMs),
    policy: () => this.#policy(),
    reloads: () => this.#reloads(),
    flood: () => this.#deps.flood(200 + this.#deps.random(1800)),
  };

  constructor(deps: FaultsDeps) {
    this.#deps = deps;
  }

  /** Injects and repairs one fault after another until `endAt`, on performance.now()'s clock. */
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

  /** Returns the fault that excuses a failed conversation; undefined if none does. */
  explain({ server, startedAt, endedAt, isWrong }: Omit<Failure, "number" | "kind" | "message">) {
    if (isWrong) return undefined;

    return this.#excuses.find(
      (excuse) =>
        startedAt <= excuse.to &&
        endedAt >= excuse.from &&
        (server === undefined || (server === excuse.server && !excuse.isUnservedOnly)),
    )?.message;
  }

  /** Describes the last three excuses, for a failure that none of them excuses. */
  recent(now: number): string {
    const ago = (ms: number) =>
      ms === Number.POSITIVE_INFINITY ? "now" : `${Math.round(now - ms)}`;

    return this.#excuses
      .slice(-3)
      .map(({ message, from, to }) => `${message} ${ago(from)} to ${ago(to)} ms ago`)
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

  /** Closes listeners. The kernel resets the connections that they have not accepted yet. */
  async #refuse(servers: readonly ServerProcess[], forMs: number): Promise<void> {
    const isAll = servers.length > 1;
    const message = isAll ? "all servers refused" : `server ${servers[0]!.number} refused`;
    const excuse = this.#excuse(message, isAll ? undefined : servers[0]!.number, {
      isUnservedOnly: true,
    });

    await Promise.all(servers.map((server) => server.closeListener()));
    // While one server refuses, its clients must be served by the others.
    if (!isAll) excuse.to = performance.now();
    await Bun.sleep(forMs);
    await Promise.all(servers.map((server) => server.listen()));
    if (isAll) excuse.to = performance.now();
  }

  async #remove(server: ServerProcess, forMs: number): Promise<void> {
    const { gateway } = this.#deps;
    const before = gateway.config;
    const endpoints = before.endpoints.filter((address) => address !== server.address);

    // The server returns well before its relays are reset, or well after.
    const isBrief = forMs < DRAIN_MS;
    const awayMs = isBrief ? Math.min(forMs, DRAIN_MS / 2) : forMs + 2 * SLACK_MS;
    if (!isBrief) {
      const from = performance.now() + DRAIN_MS - SLACK_MS;
      const excuse = this.#excuse(`server ${server.number} was removed`, server.number, { from });
      await this.#reload({ ...before, endpoints });
      excuse.to = performance.now();
    } else await this.#reload({ ...before, endpoints });

    await Bun.sleep(awayMs);
    await this.#reload({ ...gateway.config, endpoints: before.endpoints });
  }

  /** Adds an endpoint that drops all packets, for a while. */
  async #blackhole(forMs: number): Promise<void> {
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

  /** Reloads a broken file, which changes nothing, then signals faster than the gateway reloads. */
  async #reloads(): Promise<void> {
    const { gateway, random } = this.#deps;
    await gateway.reloadBroken(oneOf(random, ["", "endpoints: [a:1\n", "policy: none\n"]));
    for (let i = 0; i < 20; i++) gateway.hangUp();
    await this.#reload(gateway.config);
    // That reload may be an earlier signal's. Wait for the last one.
    await Bun.sleep(SLACK_MS);
  }

  async #reload(config: GatewayConfig): Promise<void> {
    await this.#deps.gateway.reload(config);
  }

  #excuse(message: string, server: number | undefined, options: Partial<Excuse> = {}): Excuse {
    const from = performance.now();
    const to = Number.POSITIVE_INFINITY;
    const excuse = { message, server, isUnservedOnly: false, from, to, ...options };
    this.#excuses.push(excuse);
    return excuse;
  }
}
