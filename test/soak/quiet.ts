// Quiet moments: no client, every server up. What the gateway still holds then is
// what it keeps, so these are compared with each other from the first to the last.
import { until } from "../support/peer.ts";
import type { SoakGateway } from "./soak-gateway.ts";

// Timers that end what is over: the probe of an endpoint that was silent, relays
// whose server left. The longest is --dial-timeout's 3 s.
const GRACE_MS = 15_000;
// Bun collects garbage of its own accord once it has been idle for a second or two.
const REST_MS = 3000;
const CPU_MS = 2000;

export interface QuietMoment {
  readonly residentKib: number;
  readonly descriptors: number;
  readonly cpuPercent: number;
  /** A second: what a timer that was left behind adds to. */
  readonly wakeups: number;
}

/** Waits until the gateway has given back what it took since `before`, or has had time enough; then measures. */
export async function quietMoment(
  gateway: SoakGateway,
  before: QuietMoment | undefined,
): Promise<QuietMoment> {
  const isBack = () => before === undefined || gateway.descriptors <= before.descriptors;
  await until(isBack, "descriptors were given back", GRACE_MS).catch(() => undefined);
  await Bun.sleep(REST_MS);
  const [ticks, wakeups] = [gateway.cpuTicks, gateway.wakeups];
  await Bun.sleep(CPU_MS);
  return {
    residentKib: gateway.residentKib,
    descriptors: gateway.descriptors,
    cpuPercent: ((gateway.cpuTicks - ticks) * 1000) / CPU_MS,
    wakeups: ((gateway.wakeups - wakeups) * 1000) / CPU_MS,
  };
}

export function describeMoment(moment: QuietMoment): string {
  const { residentKib, descriptors, cpuPercent, wakeups } = moment;
  const idle = `CPU ${cpuPercent.toFixed(1)} %, ${wakeups.toFixed(1)} wakeups a second`;
  return `RSS ${mib(residentKib)}, ${descriptors} descriptors, ${idle}`;
}

export const mib = (kib: number) => `${(kib / 1024).toFixed(1)} MiB`;

// An idle gateway takes nothing but its timers' and garbage collector's share.
const MAX_IDLE_CPU_PERCENT = 5;
const MAX_IDLE_WAKEUPS = 20;
// The least of each third: warm-up is over after the first, and garbage that is not
// collected yet only adds (62 to 65 and 77 MiB were seen in turn, while RSS under
// load stayed as it was), where a leak raises the least as well.
const MAX_GROWTH = 1.08;
const MIN_MOMENTS_FOR_GROWTH = 6;
// With the first third as well, whatever the length of the run: far above what
// the load of this soak was seen to need.
const MAX_RESIDENT_KIB = 300 * 1024;

/** What is wrong with these moments, of which `before` is the one before all load. */
export function faultsOf(before: QuietMoment, moments: readonly QuietMoment[]): string[] {
  const faults: string[] = [];
  for (const [i, moment] of moments.entries()) {
    const at = `quiet moment ${i + 1}`;
    if (moment.descriptors !== before.descriptors)
      faults.push(`${at}: ${moment.descriptors} descriptors, ${before.descriptors} at start`);
    if (moment.cpuPercent > MAX_IDLE_CPU_PERCENT)
      faults.push(`${at}: CPU ${moment.cpuPercent.toFixed(1)} % with nothing to do`);
    if (moment.wakeups > MAX_IDLE_WAKEUPS)
      faults.push(`${at}: ${moment.wakeups.toFixed(1)} wakeups a second with nothing to do`);
    if (moment.residentKib > MAX_RESIDENT_KIB)
      faults.push(`${at}: RSS ${mib(moment.residentKib)} is above ${mib(MAX_RESIDENT_KIB)}`);
  }
  const growth = growthOf(moments);
  if (growth !== undefined && growth > MAX_GROWTH)
    faults.push(`the least RSS of the last third is ${growth.toFixed(3)} times that of the second`);
  return faults;
}

/** The least RSS of the last third over that of the second; undefined if the run was too short to say. */
export function growthOf(moments: readonly QuietMoment[]): number | undefined {
  if (moments.length < MIN_MOMENTS_FOR_GROWTH) return undefined;
  const third = Math.floor(moments.length / 3);
  const rss = moments.map(({ residentKib }) => residentKib);
  return Math.min(...rss.slice(-third)) / Math.min(...rss.slice(-2 * third, -third));
}
