// What systemd is told of a service: that it is ready, reloads or stops, how it
// is, and that it lives (sd_notify(3)). Without NOTIFY_SOCKET nothing happens.
import type { Clock } from "../core/clock.ts";
import type { GatewayStatus } from "../observe/status.ts";
import { processId } from "../os/process.ts";
import { monotonicMicroseconds, notifySystemd } from "../os/systemd.ts";
import type { Environment } from "./read-config.ts";

export interface SystemdNotifierDeps {
  readonly environment: Environment;
  readonly clock: Clock;
  readonly status: () => GatewayStatus;
}

const STATUS_MS = 5000;

// Who does not read for long needs no more than the first of it.
const MAX_UNTOLD = 8;
const AGAIN_MS = 200;

// sd_watchdog_enabled(3) recommends half of the time.
const WATCHDOG_PART = 0.5;
// Sooner would be a load, later than an hour serves nobody (and no timer takes it).
const MIN_WATCHDOG_MS = 20;
const MAX_WATCHDOG_MS = 3_600_000;

export class SystemdNotifier {
  readonly #deps: SystemdNotifierDeps;
  readonly #path: string | undefined;
  #said = "";
  readonly #untold: string[] = [];
  readonly #timers = new Map<string, () => void>();

  constructor(deps: SystemdNotifierDeps) {
    this.#deps = deps;
    this.#path = deps.environment["NOTIFY_SOCKET"] || undefined;
  }

  /** Begins to tell how it is, and that it lives. */
  ready(): void {
    if (this.#path === undefined) return;
    this.#tell(`READY=1\n${this.#news()}`);
    this.#every(STATUS_MS, "status", () => {
      if (this.#isNews()) this.#tell(this.#news());
    });
    const watchdogMs = this.#watchdogMs();
    if (watchdogMs > 0)
      this.#every(watchdogMs * WATCHDOG_PART, "watchdog", () => this.#tell("WATCHDOG=1"));
  }

  reloading(): void {
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds()}`);
  }

  /** The reload is over, whatever came of it. */
  reloaded(): void {
    this.#tell("READY=1");
  }

  stopping(): void {
    this.#tell("STOPPING=1\nSTATUS=draining");
    this.#timers.get("status")?.();
  }

  /** Clears its timers. May be called twice. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel();
  }

  #tell(state: string): void {
    if (this.#path === undefined) return;
    this.#untold.push(state);
    this.#tellAll(this.#path);
  }

  /** In order; what systemd has no room for now is told later. */
  #tellAll(path: string): void {
    while (this.#untold.length > 0 && notifySystemd(path, this.#untold[0]!)) this.#untold.shift();
    this.#untold.splice(MAX_UNTOLD);
    if (this.#untold.length === 0) return;
    this.#timers.get("again")?.();
    this.#timers.set(
      "again",
      this.#deps.clock.after(AGAIN_MS, () => this.#tellAll(path)),
    );
  }

  #every(ms: number, name: string, action: () => void): void {
    const cancel = this.#deps.clock.after(ms, () => {
      this.#every(ms, name, action);
      action();
    });
    this.#timers.set(name, cancel);
  }

  #isNews(): boolean {
    return this.#said !== this.#statusText();
  }

  #news(): string {
    this.#said = this.#statusText();
    return `STATUS=${this.#said}`;
  }

  #statusText(): string {
    const { endpoints, active } = this.#deps.status();
    const up = endpoints.filter((endpoint) => endpoint.up && endpoint.healthy).length;
    return `${up} of ${endpoints.length} endpoints up, ${active} clients`;
  }

  /** How soon systemd wants to hear of us, in milliseconds; 0: not at all. */
  #watchdogMs(): number {
    const { WATCHDOG_USEC: usec = "", WATCHDOG_PID: pid } = this.#deps.environment;
    const isOurs = !pid || pid === String(processId);
    if (!isOurs || !/^\d+$/.test(usec) || Number(usec) === 0) return 0;
    return Math.min(Math.max(Number(usec) / 1000, MIN_WATCHDOG_MS), MAX_WATCHDOG_MS);
  }
}
