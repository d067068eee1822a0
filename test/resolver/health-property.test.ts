// A property of the cluster under random histories of health results: no client is
// stranded on a failing endpoint while another is healthy. Time, randomness and the
// results are scripted; no socket is opened.
import { expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { parseHealthUrl } from "../../src/core/health-url.ts";
import { Cluster, type ClusterListener } from "../../src/resolver/cluster.ts";
import { createLog } from "../../src/observe/log.ts";
import { createNetwork } from "../../src/commands/network.ts";
import * as system from "../../src/os/tcp.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { LocalGateway } from "../support/local-gateway.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { oneOf, type Random, randomFrom, seed } from "../support/random-input.ts";

const ENDPOINTS = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];
const INTERVAL_MS = 100;
const TIMEOUT_MS = 40;
// The longest time between two results of an endpoint: the interval with its jitter,
// plus the timeout if the first result came at once and the second did not.
const CHECK_MS = INTERVAL_MS * 1.2 + TIMEOUT_MS;
const HISTORIES = 200;

type Answer = "ok" | "error" | "silence";

interface Client {
  readonly endpoint: Endpoint;
  /** Since when its endpoint has been failing while another was healthy; undefined if it is not. */
  strandedSince: number | undefined;
}

const answers: readonly Answer[] = ["ok", "error", "silence"];

class World implements ClusterListener {
  readonly clock = new ManualClock();
  readonly answerOf = new Map<string, Answer>(ENDPOINTS.map((label) => [label, "ok"]));
  clients: Client[] = [];
  readonly cluster: Cluster;

  constructor(random: Random) {
    const config = {
      ...new LocalGateway(ENDPOINTS).config,
      endpoints: ENDPOINTS.map(parseStaticEndpoint),
      healthUrl: parseHealthUrl("http://{host}:{port}/health"),
      ...{ healthIntervalMs: INTERVAL_MS, healthTimeoutMs: TIMEOUT_MS },
      healthRise: 1 + random(3),
      healthFall: 1 + random(3),
    };
    this.cluster = new Cluster(config, {
      clock: this.clock,
      log: createLog({ level: "error", format: "json", write: () => true, now: () => 0 }),
      network: {
        ...createNetwork({}),
        lookup: () => Promise.reject(new Error("no names here")),
        resolveSrv: () => Promise.reject(new Error("no names here")),
        request: ({ host, port }) => this.#answer(`${host}:${port}`),
      },
      system,
      isSelf: () => false,
      random: () => random(1001) / 1000,
    });
  }

  #answer(label: string): Promise<{ status: number; body: string }> {
    const answer = this.answerOf.get(label)!;
    if (answer !== "silence")
      return Promise.resolve({ status: answer === "ok" ? 200 : 503, body: "" });
    return new Promise((_, reject) => {
      const failure = Object.assign(new Error("no answer"), { code: "ETIMEDOUT" });
      this.clock.after(TIMEOUT_MS, () => reject(failure));
    });
  }

  reclaim(): undefined {}
  endpointRemoved(): void {}
  endpointsChanged(): void {}
  endpointUp(): void {}

  endpointFailing(endpoint: Endpoint): void {
    this.clients = this.clients.filter((client) => client.endpoint !== endpoint);
  }

  connect(): void {
    const endpoint = this.cluster.pool.pick(new Set())!;
    endpoint.connections++;
    this.clients.push({ endpoint, strandedSince: undefined });
  }

  /** Advances the clock by a millisecond. Returns the longest time that a client has been stranded. */
  async tick(): Promise<number> {
    this.clock.advance(1);
    for (let i = 0; i < 12; i++) await Promise.resolve();
    let longest = 0;
    for (const client of this.clients) {
      const { health, hasPassedCheck } = client.endpoint;
      const isStranded = health !== "healthy" && !hasPassedCheck && this.cluster.pool.hasPassing;
      client.strandedSince = isStranded ? (client.strandedSince ?? this.clock.now()) : undefined;
      longest = Math.max(longest, this.clock.now() - (client.strandedSince ?? this.clock.now()));
    }
    return longest;
  }
}

test("Cluster moves every client off a failing endpoint within one check while another passes", async () => {
  console.log(`FUZZ_SEED=${seed}`);
  let resets = 0;
  for (let history = 0; history < HISTORIES; history++) {
    const random = randomFrom(seed + history);
    const world = new World(random);
    await world.cluster.start(world);
    world.cluster.follow();
    let connected = 0;
    let longest = 0;
    for (let ms = 0; ms < 3000; ms++) {
      if (random(150) === 0) world.answerOf.set(oneOf(random, ENDPOINTS), oneOf(random, answers));
      if (random(20) === 0) {
        world.connect();
        connected++;
      }
      longest = Math.max(longest, await world.tick());
    }

    expect(longest).toBeLessThanOrEqual(CHECK_MS);

    // Whatever happened before: once one endpoint is healthy for good, no client stays on the others.
    for (const label of ENDPOINTS) world.answerOf.set(label, oneOf(random, ["error", "silence"]));
    world.answerOf.set(oneOf(random, ENDPOINTS), "ok");
    for (let ms = 0; ms < 4 * CHECK_MS; ms++) await world.tick();
    const finalAnswers = world.clients.map(({ endpoint }) => world.answerOf.get(endpoint.label));
    expect(finalAnswers.filter((answer) => answer !== "ok")).toEqual([]);
    resets += connected - world.clients.length;
    world.cluster.close();
  }
  // The histories must have moved clients, or the property was not tested.
  expect(resets).toBeGreaterThan(HISTORIES);
}, 120_000);
