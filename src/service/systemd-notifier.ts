// Notifies systemd that a service is ready, reloads, stops and is alive, and of its state
// (sd_notify(3)). Without NOTIFY_SOCKET it does nothing.
import type { Clock } from "../core/clock.ts";
import type { ProxyStatus } from "../observe/status.ts";
import { processId } from "../os/process.ts";
import { monotonicMicroseconds, notifySystemd } from "../os/systemd.ts";

export interface SystemdNotifierDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly status: () => ProxyStatus;
}

const STATUS_MS = 5000;

const RETRY_MS = 200;

// sd_watchdog_enabled(3) recommends half of the time.
const WATCHDOG_FRACTION = 0.5;
// More often would be a load. Once an hour costs nothing, and the largest intervals that
// systemd takes do not fit into a timer.
const MIN_WATCHDOG_MS = 20;
const MAX_WATCHDOG_MS = 3_600_000;

export class SystemdNotifier {
  readonly #deps: SystemdNotifierDeps;
  readonly #path: string | undefined;
  #sentStatus = "";
  /** What systemd had no room for, in order: the latest message of each kind. */
  readonly #pending = new Map<string, string>();
  readonly #timers = new Map<string, () => void>();

  constructor(deps: SystemdNotifierDeps) {
    this.#deps = deps;
    this.#path = deps.environment["NOTIFY_SOCKET"] || undefined;
  }

  /** Notifies that the service is ready, and from now on of its state and that it is alive. */
  ready(): void {
    if (this.#path === undefined) return;
    this.#send(`READY=1\n${this.#newStatus()}`);
    this.#every(STATUS_MS, "status", () => {
      if (this.#hasNewStatus()) this.#send(this.#newStatus());
    });
    const watchdogMs = this.#watchdogMs();
    if (watchdogMs > 0)
      this.#every(watchdogMs * WATCHDOG_FRACTION, "watchdog", () => this.#send("WATCHDOG=1"));
  }

  reloading(): void {
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${monotonicMicroseconds()}`);
  }

  /** Also after a failed reload. */
  reloaded(): void {
    this.#send("READY=1");
  }

  stopping(): void {
    this.#send("STOPPING=1\nSTATUS=draining");
    this.#timers.get("status")?.();
  }

  /** Clears its timers. May be called twice. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel();
  }

  #send(state: string): void {
    if (this.#path === undefined) return;
    const kind = state.split("=", 1)[0]!;
    this.#pending.delete(kind); // so that the new one stands after the others
    this.#pending.set(kind, state);
    this.#sendPending(this.#path);
  }

  /** Sends in order. What systemd has no room for now is sent later. */
  #sendPending(path: string): void {
    for (const [kind, state] of this.#pending) {
      if (!notifySystemd(path, state)) break;
      this.#pending.delete(kind);
    }
    if (this.#pending.size === 0) return;
    this.#timers.get("retry")?.();
    this.#timers.set(
      "retry",
      this.#deps.clock.after(RETRY_MS, () => this.#sendPending(path)),
    );
  }

  #every(ms: number, name: string, action: () => void): void {
    const cancel = this.#deps.clock.after(ms, () => {
      this.#every(ms, name, action);
      action();
    });
    this.#timers.set(name, cancel);
  }

  #hasNewStatus(): boolean {
    return this.#sentStatus !== this.#statusText();
  }

  #newStatus(): string {
    this.#sentStatus = this.#statusText();
    return `STATUS=${this.#sentStatus}`;
  }

  #statusText(): string {
    const { endpoints, active } = this.#deps.status();
    const up = endpoints.filter((endpoint) => endpoint.up && endpoint.healthy).length;
    return `${up} of ${endpoints.length} endpoints up, ${active} clients`;
  }

  /** Returns the interval within which systemd expects a sign of life, in milliseconds; 0: none. */
  #watchdogMs(): number {
    const { WATCHDOG_USEC: usec = "", WATCHDOG_PID: pid } = this.#deps.environment;
    const isOurs = !pid || pid === String(processId);
    if (!isOurs || !/^\d+$/.test(usec) || Number(usec) === 0) return 0;
    return Math.min(Math.max(Number(usec) / 1000, MIN_WATCHDOG_MS), MAX_WATCHDOG_MS);
  }
}
