// The part of scripts/faults that runs inside its namespaces: runs the rows, prints
// what clients noticed, writes docs/faults.md, and exits with 1 if our gateway or proxy
// missed a requirement.
import { Cluster } from "./cluster.ts";
import { echoes } from "./echo.ts";
import { type Fault, FAULTS, type Lab, type Prepared, SHORT } from "./faults.ts";
import { Gateway, installedKinds, type Kind, versionOf } from "./gateways.ts";
import { PROXY_FAULTS, SHORT_PROXY_FAULTS } from "./grpc-proxy/proxy-faults.ts";
import { PROXY_KINDS } from "./grpc-proxy/proxies.ts";
import { missedByProxy, proxyMarkdown, proxyRowText } from "./grpc-proxy/proxy-report.ts";
import { type ProxyRow, runProxyRow } from "./grpc-proxy/run.ts";
import { HeldClients } from "./held.ts";
import { type Clients, PutAndGet } from "./load.ts";
import { Network } from "./network.ts";
import { writeGateways, writeProxies } from "./document.ts";
import { type Cell, markdown, missedRequirements, type Row, rowText } from "./report.ts";

const MEMBERS = 3;
const BEFORE_MS = 2000;
const AFTER_MS = 3000;
// The factor by which --short shortens each fault.
const SHORTER = 0.5;

// The kernel drops signals to the first process of a namespace unless it handles them.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

const [folder, mode = "all", only = ""] = process.argv.slice(2) as [string, string?, string?];
const startedAt = performance.now();
const isShort = mode === "short";
const kinds = isShort ? (["ours"] as const) : installedKinds();
const proxyKinds = isShort ? (["our proxy"] as const) : PROXY_KINDS;
const chosen = <F extends { readonly name: string }>(faults: readonly F[], short: Set<string>) =>
  faults.filter(({ name }) => (isShort ? short.has(name) : name.includes(only)));

const network = await Network.create(folder, MEMBERS);
const cluster = await Cluster.start(network, folder, MEMBERS);
const failures: string[] = [];
let count = 0;
if (mode !== "grpc-proxy") await runGateways();
if (mode !== "gateway") await runProxies();
for (const failure of failures) console.error(`faults: ${failure}`);
console.log(`faults: ${count} rows in ${Math.round((performance.now() - startedAt) / 1000)} s`);
// The kernel kills everything else in these namespaces when this process exits.
process.exit(failures.length === 0 && count > 0 ? 0 : 1);

async function runGateways(): Promise<void> {
  const since = performance.now();
  const rows: Row[] = [];
  for (const fault of chosen(FAULTS, SHORT)) {
    const row = await run(fault, { network, cluster });
    console.log(rowText(row));
    rows.push(row);
    failures.push(...missedRequirements(row));
  }
  count += rows.length;
  if (isShort || only !== "") return;

  const versions = new Map<Kind, string>();
  for (const kind of kinds) versions.set(kind, await versionOf(kind));
  await writeGateways(markdown(rows, { versions, took: performance.now() - since }));
}

async function runProxies(): Promise<void> {
  const since = performance.now();
  const rows: ProxyRow[] = [];
  const options = { kinds: proxyKinds, shorter: isShort ? SHORTER : 1 };
  for (const fault of chosen(PROXY_FAULTS, SHORT_PROXY_FAULTS)) {
    const row = await runProxyRow(fault, { network, cluster }, options);
    console.log(proxyRowText(row));
    rows.push(row);
    failures.push(...missedByProxy(row));
  }
  count += rows.length;
  if (isShort || only !== "") return;

  const versions = { ours: await versionOf("ours"), etcd: await versionOf("etcd") };
  await writeProxies(proxyMarkdown(rows, { versions, took: performance.now() - since }));
}

async function run(fault: Fault, lab: Lab): Promise<Row> {
  const prepared = await fault.prepare(lab);
  await cluster.leadBySurvivor();
  const plan = { endpoints: cluster.addresses, ...prepared.plan };
  const gateways: Gateway[] = [];
  for (const kind of kinds) gateways.push(await Gateway.start(kind, plan, folder));

  const cells = await measure(fault, prepared, gateways);

  await Promise.all(gateways.map((gateway) => gateway.close()));
  const note = (await prepared.remove?.()) ?? "";
  await cluster.healthy();
  return { fault, note, cells };
}

async function measure(
  fault: Fault,
  prepared: Prepared,
  gateways: readonly Gateway[],
): Promise<Map<Kind, Cell>> {
  const clients = gateways.map((gateway) => clientsOf(fault, gateway));
  const held = fault.holdsClients ? await hold(gateways) : [];
  await Bun.sleep(BEFORE_MS);

  const injectedAt = performance.now();
  await prepared.inject(gateways);
  const durationMs = fault.seconds * 1000 * (isShort ? SHORTER : 1);
  await Bun.sleep(Math.max(0, injectedAt + durationMs - performance.now()));
  const endings = held.map((one) => one.release(injectedAt));

  await prepared.heal(gateways);
  const healedAt = performance.now();
  await Bun.sleep(AFTER_MS);
  await Promise.all(clients.map((one) => one.stop()));

  const cells = new Map<Kind, Cell>();
  for (const [i, { kind }] of gateways.entries())
    cells.set(kind, { figures: await clients[i]!.figures(healedAt), endings: endings[i] });
  return cells;
}

function clientsOf({ workload, name }: Fault, { kind, port }: Gateway): Clients {
  if (workload === "echo") return echoes(port);
  return new PutAndGet(port, cluster, `${name}/${kind}/`);
}

async function hold(gateways: readonly Gateway[]): Promise<HeldClients[]> {
  const { header } = await cluster.victim.post("/v3/maintenance/status");
  return Promise.all(gateways.map(({ port }) => HeldClients.open(port, header.member_id)));
}
