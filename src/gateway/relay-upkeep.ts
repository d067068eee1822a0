// What looks after relays while they run, and ends those that nobody uses: too
// idle, owed to a client that has vanished, unable to end, or holding too much.
import type { Clock } from "../core/clock.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import { StallTimeout } from "../relay/stall-timeout.ts";
import { BufferLimit } from "../relay/buffer-limit.ts";
import { IdleTimeout } from "../relay/idle-timeout.ts";
import type { Relay, RelayDeps } from "../relay/relay.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { ConnectionTable } from "./connection-table.ts";

export interface RelayUpkeepDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly system: TcpSystem;
  readonly relays: ConnectionTable;
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
  readonly #relays: ConnectionTable;
  readonly #config: () => GatewayConfig;
  readonly #endings: StallTimeout;
  readonly #watch: IdleTimeout<Relay>;
  readonly #memory: BufferLimit<Relay>;

  constructor({ clock, log, system, relays, config, ...rest }: RelayUpkeepDeps) {
    this.#log = log;
    this.#relays = relays;
    this.#config = config;
    this.#endings = new StallTimeout(clock, rest.terminationDelayMs ?? TERMINATION_DELAY_MS);
    this.#watch = new IdleTimeout({
      clock,
      relays: () => relays.all(),
      limits: config,
      onExpired: (relay, reason) =>
        log.debug("reset relay", { client: relay.clientAddress, reason }),
    });
    this.#memory = new BufferLimit({
      clock,
      relays: () => relays.all(),
      limitBytes: () => config().maxBufferBytes,
      onReset: (count, bufferedBytes) =>
        log.warn("reset relays whose peers do not read: --max-buffer-memory is reached", {
          relays: count,
          "held-bytes": bufferedBytes,
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
