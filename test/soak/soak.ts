// The soak: scripts/soak MINUTES. Alternates between phases of load with faults and
// idle samples. Prints a line every 30 s and a summary at the end.
import { Closers } from "../support/gateway-command.ts";
import { FailureLog } from "./failure-log.ts";
import { DRAIN_MS, Faults } from "./faults.ts";
import { describeSample, type IdleSample, problemsOf, sampleIdle } from "./idle-sample.ts";
import { Load } from "./load.ts";
import { Progress } from "./progress.ts";
import { randomOf } from "./seeded.ts";
import { ServerProcess } from "./server-process.ts";
import { SoakGateway } from "./soak-gateway.ts";

const SERVERS = 4;

// Each phase ends with an idle sample, which takes 5 s after the load has ended.
const PHASES = 10;
const MIN_PHASE_MS = 15_000;
const MAX_PHASE_MS = 300_000;
const SAMPLE_MS = 7000;
const MAX_STOP_MS = 90_000;

const minutes = Number(process.argv[2]);
if (!(minutes > 0)) {
  console.error("usage: scripts/soak MINUTES (0.5 is 30 s); SOAK_SEED=... repeats a run");
  process.exit(2);
}
const seed = Number(process.env["SOAK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const closers = new Closers();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => void closers.close().finally(() => process.exit(130)));

const failures = new FailureLog();
let isPassed = false;
try {
  isPassed = await soak();
} catch (error) {
  console.error("FAILED: the soak was aborted:", error);
} finally {
  await closers.close();
}
console.log(isPassed ? "passed" : `failed: SOAK_SEED=${seed} scripts/soak ${minutes}`);
process.exit(isPassed ? 0 : 1);

async function soak(): Promise<boolean> {
  console.log(`SOAK_SEED=${seed} scripts/soak ${minutes}`);
  const servers = await startServers();
  const endpoints = servers.map(({ address }) => address);
  const gateway = closers.add(
    await SoakGateway.start({ endpoints, policy: "round-robin", drainMs: DRAIN_MS }),
  );
  const onFailure = failures.add.bind(failures);
  const load = new Load({ port: gateway.port, seed, onFailure });
  const flood = (clients: number) => load.flood(clients);
  const faults = new Faults({ servers, gateway, random: randomOf(seed, 0), flood });
  failures.excuses = faults;
  const progress = new Progress({ gateway, load, faults, failures });
  closers.defer(() => progress.close());

  // Opens what the gateway opens once, for its first client: that is not a leak.
  await load.flood(100);
  const before = await sampleIdle(gateway, undefined);
  console.log(`before the load: ${describeSample(before)}`);
  progress.start();
  const samples = await runPhases({ gateway, load, faults }, before);

  const problems = [
    ...problemsOf(before, samples),
    ...failures.problems(),
    ...(await shutdownProblems(gateway)),
  ];
  progress.summarize(samples);
  for (const problem of problems) console.error(`FAILED: ${problem}`);
  return problems.length === 0;
}

async function startServers(): Promise<ServerProcess[]> {
  // One loopback address for each, so that all share a port that the system never
  // assigns to a client. The process id separates concurrent soaks.
  const network = `127.${1 + ((process.pid >> 8) % 250)}.${process.pid & 255}`;
  const servers = Array.from({ length: SERVERS }, (_, number) => {
    const address = `${network}.${number + 1}:2379`;
    return new ServerProcess({ number, address, seed }, (report) =>
      failures.addReport(number, report),
    );
  });
  for (const server of servers) {
    closers.defer(() => server.kill());
    await server.start();
  }
  return servers;
}

interface PhaseParts {
  readonly gateway: SoakGateway;
  readonly load: Load;
  readonly faults: Faults;
}

/** Alternates load and faults with an idle sample, until the time is over or the gateway exits. */
async function runPhases(
  { gateway, load, faults }: PhaseParts,
  before: IdleSample,
): Promise<IdleSample[]> {
  const totalMs = minutes * 60_000;
  const phaseMs = Math.min(MAX_PHASE_MS, Math.max(MIN_PHASE_MS, totalMs / PHASES));
  const phases = Math.max(1, Math.floor(totalMs / phaseMs));

  const start = performance.now();
  const samples: IdleSample[] = [];
  for (let phase = 1; phase <= phases && gateway.isRunning; phase++) {
    load.start();
    await faults.run(start + phase * phaseMs - SAMPLE_MS);
    await stopInTime(load);
    if (!gateway.isRunning) break;

    const sample = await sampleIdle(gateway, before);
    failures.judgeReports();
    samples.push(sample);
    console.log(`idle sample ${phase} of ${phases}: ${describeSample(sample)}`);
  }
  return samples;
}

async function stopInTime(load: Load): Promise<void> {
  const timeout = Bun.sleep(MAX_STOP_MS).then(() => "timeout");
  if ((await Promise.race([load.stop(), timeout])) === "timeout")
    throw new Error(`${load.open} conversations did not end within ${MAX_STOP_MS / 1000} s`);
}

/** Stops the gateway; returns what is wrong with its exit and its log. */
async function shutdownProblems(gateway: SoakGateway): Promise<string[]> {
  const problems = gateway.errors.map((line) => `the gateway logged ${JSON.stringify(line)}`);
  if (!gateway.isRunning) return [...problems, "the gateway exited by itself"];

  const { status, resetRelays } = await gateway.stop();
  if (status !== 0 || resetRelays !== 0)
    problems.push(`SIGTERM: exit status ${status}, ${resetRelays} relays reset`);
  return problems;
}
