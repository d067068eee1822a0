// Keeps the last ten minutes of samples for the page's plots, and the latest log
// events. Does not write the log.
import type { Clock } from "../core/clock.ts";
import type { ProxyStatus } from "./status.ts";

/** The proxy at one time. Counters are absolute: a rate is the difference of two samples. */
export interface Sample {
  /** Time since the sample was taken. */
  readonly ageMs: number;
  readonly active: number;
  readonly accepted: number;
  readonly bytesToServers: number;
  readonly bytesToClients: number;
  readonly endpoints: readonly EndpointSample[];
}

export interface EndpointSample {
  readonly address: string;
  readonly connections: number;
  readonly bytes: number;
  /** Successful dials, and their total duration. */
  readonly dials: number;
  readonly dialSeconds: number;
}

/** One log line. */
export interface LogEvent {
  readonly ts: string;
  readonly level: string;
  readonly msg: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const SAMPLE_MS = 5000;
const MAX_SAMPLES = 120;
const MAX_EVENTS = 50;

export class History {
  readonly #clock: Clock;
  readonly #status: () => ProxyStatus;
  readonly #samples: (Omit<Sample, "ageMs"> & { at: number })[] = [];
  readonly #events: LogEvent[] = [];
  #cancelTimer = () => {};

  constructor(clock: Clock, status: () => ProxyStatus) {
    this.#clock = clock;
    this.#status = status;
  }

  /** Takes a sample now, then one every five seconds. */
  start(): void {
    this.#takeSample();
    this.#cancelTimer = this.#clock.after(SAMPLE_MS, () => this.start());
  }

  /** Adds a log event; the oldest of more than 50 is dropped. */
  note(event: LogEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
  }

  /** The samples, oldest first. */
  get samples(): Sample[] {
    const now = this.#clock.now();
    return this.#samples.map(({ at, ...rest }) => ({ ageMs: Math.round(now - at), ...rest }));
  }

  /** The log events, oldest first. */
  get events(): readonly LogEvent[] {
    return this.#events;
  }

  /** May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  #takeSample(): void {
    const { active, accepted, bytesToServers, bytesToClients, endpoints } = this.#status();

    this.#samples.push({
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

    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }
}
