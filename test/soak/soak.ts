// The soak: scripts/soak MINUTES. Load and faults take turns with quiet moments;
// a line every 30 s says how it stands, and the last ones what came of it.
import { Closers } from "../support/gateway-command.ts";
import { DRAIN_MS, Faults } from "./faults.ts";
import { Load } from "./load.ts";
import { describeMoment, faultsOf, type QuietMoment, quietMoment } from "./quiet.ts";
import { Progress } from "./progress.ts";
import { randomOf } from "./seeded.ts";
import { ServerProcess } from "./server-process.ts";
import { SoakGateway } from "./soak-gateway.ts";
import { Verdicts } from "./verdicts.ts";

const SERVERS = 4;

// Each phase ends with a quiet moment, which takes 5 s and what the load needs to end.
const PHASES = 10;
const MIN_PHASE_MS = 15_000;
const MAX_PHASE_MS = 300_000;
const QUIET_MS = 7000;
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

const verdicts = new Verdicts();
let isPassed = false;
try {
  isPassed = await soak();
} catch (error) {
  console.error("FAILED: the soak could not go on:", error);
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
  const onFailure = verdicts.failed.bind(verdicts);
  const load = new Load({ port: gateway.port, seed, onFailure });
  const flood = (clients: number) => load.flood(clients);
  const faults = new Faults({ servers, gateway, random: randomOf(seed, 0), flood });
  verdicts.excuses = faults;
  const progress = new Progress({ gateway, load, faults, verdicts });
  closers.defer(() => progress.close());

  // What is opened once, for the first client, is no leak.
  await load.flood(100);
  const before = await quietMoment(gateway, undefined);
  console.log(`before the load: ${describeMoment(before)}`);
  progress.start();
  const moments = await runPhases({ gateway, load, faults }, before);
  const problems = [
    ...faultsOf(before, moments),
    ...verdicts.problems(),
    ...(await endingFaults(gateway)),
  ];
  progress.summarize(moments);
  for (const problem of problems) console.error(`FAILED: ${problem}`);
  return problems.length === 0;
}

async function startServers(): Promise<ServerProcess[]> {
  // An address of loopback for each, so that all have the same port, one that
  // the system gives to no client; this process' number keeps two soaks apart.
  const network = `127.${1 + ((process.pid >> 8) % 250)}.${process.pid & 255}`;
  const servers = Array.from({ length: SERVERS }, (_, number) => {
    const address = `${network}.${number + 1}:2379`;
    return new ServerProcess({ number, address, seed }, (report) =>
      verdicts.reported(number, report),
    );
  });
  for (const server of servers) {
    closers.defer(() => server.kill());
    await server.start();
  }
  return servers;
}

interface Running {
  readonly gateway: SoakGateway;
  readonly load: Load;
  readonly faults: Faults;
}

/** Load and faults, then a quiet moment, until the time is over or the gateway has ended. */
async function runPhases(
  { gateway, load, faults }: Running,
  before: QuietMoment,
): Promise<QuietMoment[]> {
  const totalMs = minutes * 60_000;
  const phaseMs = Math.min(MAX_PHASE_MS, Math.max(MIN_PHASE_MS, totalMs / PHASES));
  const phases = Math.max(1, Math.floor(totalMs / phaseMs));
  const start = performance.now();
  const moments: QuietMoment[] = [];
  for (let phase = 1; phase <= phases && gateway.isRunning; phase++) {
    load.start();
    await faults.run(start + phase * phaseMs - QUIET_MS);
    await stopInTime(load);
    if (!gateway.isRunning) break;
    const moment = await quietMoment(gateway, before);
    verdicts.settle();
    moments.push(moment);
    console.log(`quiet moment ${phase} of ${phases}: ${describeMoment(moment)}`);
  }
  return moments;
}

async function stopInTime(load: Load): Promise<void> {
  const late = Bun.sleep(MAX_STOP_MS).then(() => "late");
  if ((await Promise.race([load.stop(), late])) === "late")
    throw new Error(`${load.open} conversations had not ended after ${MAX_STOP_MS / 1000} s`);
}

/** What is wrong with how it ended, or with what it said. */
async function endingFaults(gateway: SoakGateway): Promise<string[]> {
  const faults = gateway.errors.map((line) => `the gateway said ${JSON.stringify(line)}`);
  if (!gateway.isRunning) return [...faults, "the gateway ended by itself"];
  const { status, cut } = await gateway.stop();
  if (status !== 0 || cut !== 0) faults.push(`SIGTERM: status ${status}, ${cut} relays cut`);
  return faults;
}
