// Runs the rows about the gRPC proxies: both proxies face the same fault at the same time.
import type { Lab } from "../faults.ts";
import { type ProxyFigures, ProxyClients } from "./proxy-clients.ts";
import type { PreparedProxyFault, ProxyFault } from "./proxy-faults.ts";
import { Proxy, type ProxyKind, type ProxyPlan } from "./proxies.ts";

const BEFORE_MS = 2000;
const AFTER_MS = 4000;

export interface ProxyRow {
  readonly fault: ProxyFault;
  readonly cells: ReadonlyMap<ProxyKind, ProxyFigures>;
}

/** Runs one row. `shorter`: the factor by which the fault is shortened. */
export async function runProxyRow(
  fault: ProxyFault,
  lab: Lab,
  { kinds, shorter }: { kinds: readonly ProxyKind[]; shorter: number },
): Promise<ProxyRow> {
  const { cluster } = lab;
  const prepared = await fault.prepare(lab);
  await cluster.leadBySurvivor();
  const plan = { endpoints: cluster.addresses, ...prepared.plan };
  const proxies: Proxy[] = [];
  for (const kind of kinds) proxies.push(await Proxy.start(kind, plan));

  const cells = await measure({ fault, prepared, lab, plan, shorter }, proxies);

  await Promise.all(proxies.map((proxy) => proxy.close()));
  await prepared.remove?.();
  await cluster.healthy();
  return { fault, cells };
}

interface Measured {
  readonly fault: ProxyFault;
  readonly prepared: PreparedProxyFault;
  readonly lab: Lab;
  readonly plan: ProxyPlan;
  readonly shorter: number;
}

async function measure(
  { fault, prepared, lab, plan, shorter }: Measured,
  proxies: readonly Proxy[],
): Promise<Map<ProxyKind, ProxyFigures>> {
  const prefixOf = ({ kind }: Proxy) => `${fault.name}/${kind}/`;
  const clients = proxies.map(
    (proxy) => new ProxyClients(proxy, lab.cluster, prefixOf(proxy), plan),
  );
  for (const one of clients) await one.start();
  await Bun.sleep(BEFORE_MS);

  const injectedAt = performance.now();
  await prepared.inject(proxies, prefixOf);
  await Bun.sleep(Math.max(0, injectedAt + fault.seconds * 1000 * shorter - performance.now()));
  await prepared.heal(proxies);
  const healedAt = performance.now();
  await Bun.sleep(AFTER_MS);
  await Promise.all(clients.map((one) => one.stop()));

  // What was killed last may still start.
  await lab.cluster.led();
  const cells = new Map<ProxyKind, ProxyFigures>();
  for (const [i, proxy] of proxies.entries()) {
    const figures = await clients[i]!.figures(healedAt);
    const { lost, events } = prepared.lost?.(proxy) ?? { lost: 0, events: 0 };
    cells.set(proxy.kind, {
      ...figures,
      lost: figures.lost + lost,
      events: figures.events + events,
    });
  }
  return cells;
}
