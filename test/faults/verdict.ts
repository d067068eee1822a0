// Compares what the clients of our gateway or proxy noticed of one fault with what the
// clients of the others noticed, and says it in a sentence.
import type { Kind } from "./gateways.ts";
import type { ProxyKind } from "./grpc-proxy/proxies.ts";

/** The figures that decide; `Figures` of load.ts has them. */
export interface Noticed {
  readonly attempts: number;
  readonly failed: number;
  readonly longestWaitMs: number;
  /** Events that watches should have received; undefined: there were no watches. */
  readonly events?: number;
  /** Those that they did not receive. */
  readonly lost?: number;
}

/** The factor from which a difference counts: on shared cores, less is noise. */
const FACTOR = 2;
/** The difference of waits from which it counts; people do not notice less. */
const WAIT_MS = 1000;

/** The rule in words, for the legend of docs/faults.md. */
export const RULE = `The verdict compares etcd-gateway with each of the others, by a rule in \`test/faults/verdict.ts\`: a gateway is better
than another if the share of its attempts that failed is less than 1/${FACTOR} of the other's. If the shares are closer than
that, it is better if its longest wait is less than 1/${FACTOR} of the other's, and more than ${WAIT_MS / 1000} s shorter. Otherwise the two are on
par.`;

/** The same for the rows about the gRPC proxy. */
export const PROXY_RULE = `The verdict follows the rule above, except that a proxy is better at first if the share of events that its watches
lost is less than 1/${FACTOR} of the other's.`;

export const TITLES: Readonly<Record<Kind | ProxyKind, string>> = {
  ours: "etcd-gateway",
  etcd: "etcd's own gateway",
  haproxy: "HAProxy",
  "our proxy": "etcd-gateway",
  "etcd's proxy": "etcd's own proxy",
};

type AnyKind = Kind | ProxyKind;

/** Returns the verdict on ours, which is the first, a sentence. `noticed` lacks what is not installed. */
export function verdict(noticed: ReadonlyMap<AnyKind, Noticed>): string {
  const [[, ours], ...others] = [...noticed] as [[AnyKind, Noticed], ...[AnyKind, Noticed][]];
  const better = others.filter(([, other]) => isBetter(ours, other));
  const worse = others.filter(([, other]) => isBetter(other, ours));
  const equal = others.filter((entry) => !better.includes(entry) && !worse.includes(entry));

  const parts = [
    ...(better.length === 0 ? [] : [`better than ${named(better, true)}`]),
    ...(equal.length === 0 ? [] : [`on par with ${named(equal, false)}`]),
    ...(worse.length === 0 ? [] : [`worse than ${named(worse, true)}`]),
  ];
  const comparison = parts.length === 0 ? "" : `${parts.join(", ")}: `;
  const text = `${comparison}${described(ours)}.`;
  return text[0]!.toUpperCase() + text.slice(1);
}

/** Whether the clients of `one` noticed clearly less of the fault than those of `other`. */
export function isBetter(one: Noticed, other: Noticed): boolean {
  if (lostShareOf(one) * FACTOR < lostShareOf(other)) return true;
  if (lostShareOf(other) * FACTOR < lostShareOf(one)) return false;
  if (shareOf(one) * FACTOR < shareOf(other)) return true;
  if (shareOf(other) * FACTOR < shareOf(one)) return false;

  const [wait, otherWait] = [shownMs(one.longestWaitMs), shownMs(other.longestWaitMs)];
  return wait * FACTOR < otherWait && otherWait - wait > WAIT_MS;
}

/** Rounds to what docs/faults.md shows, so that a verdict follows from what it shows. */
const shownMs = (ms: number) => Math.round(ms / 10) * 10;

const shareOf = ({ failed, attempts }: Noticed) => failed / attempts;
const lostShareOf = ({ lost = 0, events = 1 }: Noticed) => lost / events;

function named(gateways: readonly [AnyKind, Noticed][], withFigures: boolean): string {
  return gateways
    .map(([kind, noticed]) =>
      withFigures ? `${TITLES[kind]} (${described(noticed)})` : TITLES[kind],
    )
    .join(" and ");
}

function described({ failed, attempts, longestWaitMs, lost = 0, events }: Noticed): string {
  const failures = failed === 0 ? "no request failed" : `${failed} of ${attempts} requests failed`;
  const losses = lost === 0 ? "" : `, ${lost} of ${events} events were lost`;
  return `${failures}${losses}, the longest wait was ${(shownMs(longestWaitMs) / 1000).toFixed(2)} s`;
}
