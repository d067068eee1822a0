// Counts requests for the metrics, by method and status. Clients choose methods, so that
// unknown ones share a label.
import type { DropReason, EndedExchange } from "./exchange-parts.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] as const;
const OTHER = "other";

/** Upper bounds of the buckets: those of etcd's proxy. @see etcd proxy/httpproxy/metrics.go */
export const BOUNDS_SECONDS: readonly number[] = Array.from(
  { length: 13 },
  (_, i) => 0.0005 * 2 ** i,
);

export interface MethodCounts {
  readonly method: string;
  requests: number;
  /** By status code. */
  readonly handled: Record<number, number>;
  readonly dropped: Partial<Record<DropReason, number>>;
  /** Requests per bucket, not cumulative; the additional last one counts those above all bounds. */
  readonly buckets: number[];
  sumSeconds: number;
}

export class RequestCounts {
  readonly #byMethod = new Map<string, MethodCounts>();
  bytesToServers = 0;
  bytesToClients = 0;
  active = 0;

  get all(): readonly MethodCounts[] {
    return [...this.#byMethod.values()];
  }

  of(method: string): MethodCounts {
    const label = (METHODS as readonly string[]).includes(method) ? method : OTHER;
    let counts = this.#byMethod.get(label);
    if (counts === undefined) {
      counts = {
        method: label,
        requests: 0,
        handled: {},
        dropped: {},
        buckets: BOUNDS_SECONDS.map(() => 0).concat(0),
        sumSeconds: 0,
      };
      this.#byMethod.set(label, counts);
    }
    return counts;
  }

  /** Counts a request that begins. */
  began(method: string): void {
    this.active++;
    this.of(method).requests++;
  }

  /** Counts a request that is over, also for its endpoint. */
  ended(exchange: EndedExchange): void {
    const { endpoint, requestBytes, responseBytes, headAt, dropReason } = exchange;
    const counts = this.of(exchange.request.method!);
    this.active--;
    this.bytesToServers += requestBytes;
    this.bytesToClients += responseBytes;
    if (endpoint !== undefined) {
      endpoint.bytesToServer += requestBytes;
      endpoint.bytesToClients += responseBytes;
    }
    if (headAt !== undefined)
      countAnswer(counts, exchange.status, (headAt - exchange.startedAt) / 1000);
    if (dropReason !== undefined)
      counts.dropped[dropReason] = (counts.dropped[dropReason] ?? 0) + 1;
  }
}

function countAnswer(counts: MethodCounts, status: number, seconds: number): void {
  counts.handled[status] = (counts.handled[status] ?? 0) + 1;
  const at = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
  counts.buckets[at < 0 ? BOUNDS_SECONDS.length : at]!++;
  counts.sumSeconds += seconds;
}
