// Idle samples: the gateway's resources while no client is connected and every
// server is up. Growth from one sample to the next is a leak.
import { until } from "../support/peer.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";

// Time for timers that release descriptors: the probe of a silent endpoint, the
// drain of a removed one. The longest is the 3 s of --dial-timeout.
const RELEASE_TIMEOUT_MS = 15_000;
// Bun collects garbage by itself after one or two idle seconds.
const SETTLE_MS = 3000;
const MEASURE_MS = 2000;

export interface IdleSample {
  readonly residentKib: number;
  readonly descriptors: number;
  readonly cpuPercent: number;
  /** Wakeups per second, which a leaked timer increases. */
  readonly wakeups: number;
}

/** The process whose resources are sampled. */
type Sampled = Pick<GatewayProcess, "descriptors" | "residentKib" | "cpuTicks" | "wakeups">;

/** Waits for the gateway to release the descriptors opened since `before`, then takes a sample. */
export async function sampleIdle(
  gateway: Sampled,
  before: IdleSample | undefined,
): Promise<IdleSample> {
  const isReleased = () => before === undefined || gateway.descriptors <= before.descriptors;
  await until(isReleased, "descriptors were released", RELEASE_TIMEOUT_MS).catch(() => undefined);
  await Bun.sleep(SETTLE_MS);

  const [ticks, wakeups] = [gateway.cpuTicks, gateway.wakeups];
  await Bun.sleep(MEASURE_MS);
  return {
    residentKib: gateway.residentKib,
    descriptors: gateway.descriptors,
    cpuPercent: ((gateway.cpuTicks - ticks) * 1000) / MEASURE_MS,
    wakeups: ((gateway.wakeups - wakeups) * 1000) / MEASURE_MS,
  };
}

export function describeSample(sample: IdleSample): string {
  const { residentKib, descriptors, cpuPercent, wakeups } = sample;
  const idle = `CPU ${cpuPercent.toFixed(1)} %, ${wakeups.toFixed(1)} wakeups a second`;
  return `RSS ${mib(residentKib)}, ${descriptors} descriptors, ${idle}`;
}

export const mib = (kib: number) => `${(kib / 1024).toFixed(1)} MiB`;

// Limits for an idle gateway, which runs only timers and the garbage collector.
const MAX_IDLE_CPU_PERCENT = 5;
const MAX_IDLE_WAKEUPS = 20;
// Growth of the lowest RSS from the second third of the samples to the last. The
// first third is warm-up. The lowest, because uncollected garbage raises single
// samples (62 to 77 MiB without a leak), while a leak raises all of them.
const MAX_GROWTH = 1.08;
const MIN_SAMPLES_FOR_GROWTH = 6;
// Limit for every sample, also in short runs: far above the RSS measured under this load.
const MAX_RESIDENT_KIB = 300 * 1024;

/** Returns what is wrong with `samples`, compared with the one taken before the load. */
export function problemsOf(before: IdleSample, samples: readonly IdleSample[]): string[] {
  const problems: string[] = [];
  for (const [i, sample] of samples.entries()) {
    const at = `idle sample ${i + 1}`;
    if (sample.descriptors !== before.descriptors)
      problems.push(`${at}: ${sample.descriptors} descriptors, ${before.descriptors} at start`);
    if (sample.cpuPercent > MAX_IDLE_CPU_PERCENT)
      problems.push(`${at}: CPU ${sample.cpuPercent.toFixed(1)} % while idle`);
    if (sample.wakeups > MAX_IDLE_WAKEUPS)
      problems.push(`${at}: ${sample.wakeups.toFixed(1)} wakeups a second while idle`);
    if (sample.residentKib > MAX_RESIDENT_KIB)
      problems.push(`${at}: RSS ${mib(sample.residentKib)} is above ${mib(MAX_RESIDENT_KIB)}`);
  }

  const growth = growthOf(samples);
  if (growth !== undefined && growth > MAX_GROWTH)
    problems.push(
      `the lowest RSS of the last third is ${growth.toFixed(3)} times that of the second`,
    );
  return problems;
}

/** Returns the lowest RSS of the last third over that of the second; undefined if too few. */
export function growthOf(samples: readonly IdleSample[]): number | undefined {
  if (samples.length < MIN_SAMPLES_FOR_GROWTH) return undefined;

  const third = Math.floor(samples.length / 3);
  const rss = samples.map(({ residentKib }) => residentKib);
  return Math.min(...rss.slice(-third)) / Math.min(...rss.slice(-2 * third, -third));
}
