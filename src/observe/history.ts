// The last ten minutes, for the page: samples for its plots, and what was logged.
import type { Clock } from "../core/clock.ts";
import type { GatewayStatus } from "./status.ts";

/** One moment. Counters are as they stood, so that rates are differences. */
export interface Sample {
  /** How long ago. */
  readonly ageMs: number;
  readonly active: number;
  readonly accepted: number;
  readonly bytesToServers: number;
  readonly bytesToClients: number;
  readonly endpoints: readonly EndpointMoment[];
}

export interface EndpointMoment {
  readonly address: string;
  readonly connections: number;
  readonly bytes: number;
  /** Dials that connected, and how long they took together. */
  readonly dials: number;
  readonly dialSeconds: number;
}

/** A line of the log. */
export interface LogEvent {
  readonly ts: string;
  readonly level: string;
  readonly msg: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const SAMPLE_MS = 5000;
const MAX_MOMENTS = 120;
const MAX_EVENTS = 50;

export class History {
  readonly #clock: Clock;
  readonly #status: () => GatewayStatus;
  readonly #moments: (Omit<Sample, "ageMs"> & { at: number })[] = [];
  readonly #events: LogEvent[] = [];
  #cancelTimer = () => {};

  constructor(clock: Clock, status: () => GatewayStatus) {
    this.#clock = clock;
    this.#status = status;
  }

  /** Takes a sample now, and every five seconds from now on. */
  start(): void {
    this.#sample();
    this.#cancelTimer = this.#clock.after(SAMPLE_MS, () => this.start());
  }

  note(event: LogEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
  }

  /** The oldest first. */
  get moments(): Sample[] {
    const now = this.#clock.now();
    return this.#moments.map(({ at, ...rest }) => ({ ageMs: Math.round(now - at), ...rest }));
  }

  /** The oldest first. */
  get events(): readonly LogEvent[] {
    return this.#events;
  }

  /** May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  #sample(): void {
    const { active, accepted, bytesToServers, bytesToClients, endpoints } = this.#status();
    this.#moments.push({
      at: this.#clock.now(),
      ...{ active, accepted, bytesToServers, bytesToClients },
      endpoints: endpoints.map(({ address, connections, dials, dialTimes, ...bytes }) => ({
        address,
        connections,
        bytes: bytes.bytesToServer + bytes.bytesToClients,
        dials: dials["connected"]!,
        dialSeconds: dialTimes.sumSeconds,
      })),
    });
    if (this.#moments.length > MAX_MOMENTS) this.#moments.shift();
  }
}
