// Samples of the last ten minutes, and rates: differences of two of them. A
// counter that fell began anew, and there is no rate across that.

const SPAN_MS = 600_000; // what the gateway keeps
const LATELY_MS = 10_000;

/** What the gateway has kept and what it says now, the oldest first. */
function samplesOf({ gateway, process, moments }) {
  const present = {
    ...gateway,
    ageMs: 0,
    cpuSeconds: process.cpuSeconds,
    startTimeSeconds: process.startTimeSeconds,
    endpoints: gateway.endpoints.map((endpoint) => ({
      address: endpoint.address,
      connections: endpoint.connections,
      bytes: endpoint.bytesToServer + endpoint.bytesToClients,
      dials: endpoint.dials.connected,
      dialSeconds: endpoint.dialTimes.sumSeconds,
    })),
  };
  // A sample of a moment ago would make a rate of nearly nothing by nearly nothing.
  const past = moments.filter(({ ageMs }) => ageMs >= 1000 && ageMs <= SPAN_MS);
  return [...past, present].map((sample) => ({
    ...sample,
    of: new Map(sample.endpoints.map((endpoint) => [endpoint.address, endpoint])),
  }));
}

/** The last answer's sample and this one's; without an answer lately, the last two there are. */
function latestTwo(before, samples) {
  const present = samples.at(-1);
  const isSame = before?.startTimeSeconds === present.startTimeSeconds;
  const ageMs = isSame ? present.uptimeMs - before.uptimeMs : 0;
  return ageMs > 0 && ageMs < LATELY_MS ? [{ ...before, ageMs }, present] : samples.slice(-2);
}

const gauges = (samples, valueOf) =>
  samples.map((sample) => ({ ageMs: sample.ageMs, value: valueOf(sample) }));

/** Per second, from each sample to the next. */
const rates = (samples, valueOf) =>
  samples.slice(1).map((sample, i) => {
    const grown = valueOf(sample) - valueOf(samples[i]);
    const ms = samples[i].ageMs - sample.ageMs;
    return { ageMs: sample.ageMs, value: grown >= 0 && ms > 0 ? (grown * 1000) / ms : undefined };
  });
