// Samples of the last ten minutes, and rates: the differences between samples. A
// counter that decreased was reset, so there is no rate across that.

const SPAN_MS = 600_000; // the history that the gateway keeps
const RECENT_MS = 10_000;

/** Returns the samples of the gateway's history plus one of the current status, oldest first. */
function samplesOf({ gateway, process, moments }) {
  const current = {
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

  // A rate over less than a second would be too inexact.
  const past = moments.filter(({ ageMs }) => ageMs >= 1000 && ageMs <= SPAN_MS);
  return [...past, current].map((sample) => ({
    ...sample,
    byAddress: new Map(sample.endpoints.map((endpoint) => [endpoint.address, endpoint])),
  }));
}

/**
 * Returns the two samples for current rates: `previous`, from the last response, and
 * the current one. Without a recent response, the last two of `samples`.
 */
function latestTwo(previous, samples) {
  const current = samples.at(-1);
  const isSameProcess = previous?.startTimeSeconds === current.startTimeSeconds;
  const ageMs = isSameProcess ? current.uptimeMs - previous.uptimeMs : 0;
  return ageMs > 0 && ageMs < RECENT_MS ? [{ ...previous, ageMs }, current] : samples.slice(-2);
}

const gauges = (samples, valueOf) =>
  samples.map((sample) => ({ ageMs: sample.ageMs, value: valueOf(sample) }));

/** Returns the rate per second from each sample to the next. */
const rates = (samples, valueOf) =>
  samples.slice(1).map((sample, i) => {
    const growth = valueOf(sample) - valueOf(samples[i]);
    const ms = samples[i].ageMs - sample.ageMs;
    return { ageMs: sample.ageMs, value: growth >= 0 && ms > 0 ? (growth * 1000) / ms : undefined };
  });
