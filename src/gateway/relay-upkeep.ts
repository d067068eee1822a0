// What looks after relays while they run, and ends those that nobody uses: too
// idle, owed to a client that has vanished, unable to end, or holding too much.
import type { Clock } from "../config/clock.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import { EndingWatch } from "../relay/ending-watch.ts";
import { HeldMemory } from "../relay/held-memory.ts";
import { RelayWatch } from "../relay/relay-watch.ts";
import type { Relay, RelayDeps } from "../relay/relay.ts";
import type { TcpSystem } from "../relay/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Relays } from "./relays.ts";

export interface RelayUpkeepDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly system: TcpSystem;
  readonly relays: Relays;
  /** Asked whenever it counts. */
  readonly config: () => GatewayConfig;
  readonly terminationDelayMs: number | undefined;
  readonly onClosed: (relay: Relay) => void;
}

// Long enough for a slow reader, whose window opens again after a sixteenth of
// its buffer; short enough that what nobody reads is not kept for ever.
const TERMINATION_DELAY_MS = 60_000;

const CUTS = {
  endpoint_left: "reset relays to an endpoint that left",
  endpoint_unhealthy: "reset relays to an unhealthy endpoint",
};

export class RelayUpkeep {
  /** What each relay is given. */
  readonly relayDeps: RelayDeps;
  readonly #log: Logger;
  readonly #relays: Relays;
  readonly #config: () => GatewayConfig;
  readonly #endings: EndingWatch;
  readonly #watch: RelayWatch<Relay>;
  readonly #memory: HeldMemory<Relay>;

  constructor({ clock, log, system, relays, config, ...rest }: RelayUpkeepDeps) {
    this.#log = log;
    this.#relays = relays;
    this.#config = config;
    this.#endings = new EndingWatch(clock, rest.terminationDelayMs ?? TERMINATION_DELAY_MS);
    this.#watch = new RelayWatch({
      clock,
      relays: () => relays.all(),
      limits: config,
      onExpired: (relay, reason) =>
        log.debug("reset relay", { client: relay.clientAddress, reason }),
    });
    this.#memory = new HeldMemory({
      clock,
      relays: () => relays.all(),
      limitBytes: () => config().maxBufferBytes,
      onReset: (count, heldBytes) =>
        log.warn("reset relays whose peers do not read: --max-buffer-memory is reached", {
          relays: count,
          "held-bytes": heldBytes,
        }),
    });
    this.relayDeps = {
      clock,
      endings: this.#endings,
      memory: this.#memory,
      system,
      onClosed: rest.onClosed,
    };
  }

  /** Begins, or goes by another configuration from now on. */
  start(): void {
    this.#watch.start();
    if (!this.#config().hasAccessLog) return;
    for (const relay of this.#relays.all()) relay.rememberClient();
  }

  /** Resets the relays to an endpoint, so that their clients come again and go elsewhere. */
  cut(endpoint: Endpoint, why: keyof typeof CUTS): void {
    if (endpoint.connections === 0) return;
    const relays = this.#relays.terminate(why, endpoint);
    if (relays > 0) this.#log.info(CUTS[why], { address: endpoint.label, relays });
  }

  /** Clears its timers. May be called twice. */
  close(): void {
    this.#endings.close();
    this.#watch.close();
    this.#memory.close();
  }
}
