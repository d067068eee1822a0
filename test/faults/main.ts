// `scripts/faults`, inside its namespaces: runs the rows, prints what clients saw,
// writes docs/faults.md, and ends with 1 if ours broke a promise.
import { mkdir, writeFile } from "node:fs/promises";
import { Cluster } from "./cluster.ts";
import { echoes } from "./echo.ts";
import { type Arranged, type Fault, FAULTS, type Lab, SHORT } from "./faults.ts";
import { Gateway, installedKinds, type Kind, versionOf } from "./gateways.ts";
import { HeldClients } from "./held.ts";
import { type Clients, PutAndGet } from "./load.ts";
import { Network } from "./network.ts";
import { broken, type Cell, markdown, type Row, rowText } from "./report.ts";

const MEMBERS = 3;
const BEFORE_MS = 2000;
const AFTER_MS = 3000;
const SHORTER = 0.5;

// As the first process of its namespace it would not hear of a signal otherwise.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

const [folder, mode = "all", only = ""] = process.argv.slice(2) as [string, string?, string?];
const startedAt = performance.now();
const isShort = mode === "short";
const kinds = isShort ? (["ours"] as const) : installedKinds();
const faults = FAULTS.filter(({ name }) => (isShort ? SHORT.has(name) : name.includes(only)));

const network = await Network.create(folder, MEMBERS);
const cluster = await Cluster.start(network, folder, MEMBERS);
const rows: Row[] = [];
for (const fault of faults) {
  const row = await run(fault, { network, cluster });
  console.log(rowText(row));
  rows.push(row);
}
const took = performance.now() - startedAt;
if (mode === "all" && only === "") {
  const versions = new Map<Kind, string>();
  for (const kind of kinds) versions.set(kind, await versionOf(kind));
  await mkdir("docs", { recursive: true });
  await writeFile("docs/faults.md", markdown(rows, { versions, took }));
}
const failures = rows.flatMap(broken);
for (const failure of failures) console.error(`faults: ${failure}`);
console.log(`faults: ${rows.length} rows in ${Math.round(took / 1000)} s`);
// Whatever still runs in these namespaces ends with this process.
process.exit(failures.length === 0 && rows.length > 0 ? 0 : 1);

async function run(fault: Fault, lab: Lab): Promise<Row> {
  const arranged = await fault.arrange(lab);
  await cluster.leadBySurvivor();
  const plan = { endpoints: cluster.addresses, ...arranged.plan };
  const gateways: Gateway[] = [];
  for (const kind of kinds) gateways.push(await Gateway.start(kind, plan, folder));
  const cells = await measure(fault, arranged, gateways);
  await Promise.all(gateways.map((gateway) => gateway.close()));
  const note = (await arranged.remove?.()) ?? "";
  await cluster.healthy();
  return { fault, note, cells };
}

async function measure(
  fault: Fault,
  arranged: Arranged,
  gateways: readonly Gateway[],
): Promise<Map<Kind, Cell>> {
  const clients = gateways.map((gateway) => clientsOf(fault, gateway));
  const held = fault.holdsClients ? await hold(gateways) : [];
  await Bun.sleep(BEFORE_MS);
  const struckAt = performance.now();
  await arranged.strike(gateways);
  const lastsMs = fault.lasts * 1000 * (isShort ? SHORTER : 1);
  await Bun.sleep(Math.max(0, struckAt + lastsMs - performance.now()));
  const endings = held.map((one) => one.release(struckAt));
  await arranged.heal(gateways);
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
  const { header } = await cluster.victim.ask("/v3/maintenance/status");
  return Promise.all(gateways.map(({ port }) => HeldClients.open(port, header.member_id)));
}
