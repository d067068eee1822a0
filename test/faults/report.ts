// docs/faults.md, made of what was measured: nothing in it is typed by hand.
import { cpus, release, totalmem } from "node:os";
import { PATIENCE_MS } from "./ask.ts";
import type { Fault } from "./faults.ts";
import { HAPROXY_DEFAULTS, type Kind, KINDS, OUR_FLAGS } from "./gateways.ts";
import type { Endings } from "./held.ts";
import { type Figures, WORKERS } from "./load.ts";

/** What one gateway's clients saw of one fault. */
export interface Cell {
  readonly figures: Figures;
  readonly endings?: Endings | undefined;
}

export interface Row {
  readonly fault: Fault;
  /** What was done, in the words of whoever did it. */
  readonly note: string;
  readonly cells: ReadonlyMap<Kind, Cell>;
}

const TITLES: Readonly<Record<Kind, string>> = {
  ours: "etcd-gateway",
  etcd: "etcd's own gateway",
  haproxy: "HAProxy",
};

/** What did not hold for ours; empty if all did. */
export function broken({ fault, cells }: Row): string[] {
  const { failsNone, longestWaitMs } = fault.mustHold ?? {};
  const { failed, longestWaitMs: waited, wrongBytes } = cells.get("ours")!.figures;
  const found: string[] = [];
  if (wrongBytes > 0) found.push(`${wrongBytes} wrong bytes`);
  if (failsNone && failed > 0) found.push(`${failed} failed attempts; there must be none`);
  if (longestWaitMs !== undefined && waited > longestWaitMs)
    found.push(`a client waited ${seconds(waited)}; the most is ${seconds(longestWaitMs)}`);
  return found.map((what) => `${fault.name}: ${what}`);
}

/** One row for the terminal. */
export function rowText({ fault, note, cells }: Row): string {
  const lines = [...cells].map(([kind, { figures, endings }]) => {
    const bytes = `${megabytes(figures.checkedBytes)} checked, ${figures.wrongBytes} wrong`;
    const told = endings === undefined ? "" : `; told: ${endingsText(endings)}`;
    return `   ${TITLES[kind].padEnd(18)}  ${cellText(figures)}; ${bytes}${told}`;
  });
  return [`== ${fault.name}${note === "" ? "" : ` (${note})`}`, ...lines].join("\n");
}

export function markdown(
  rows: readonly Row[],
  { versions, took }: { versions: ReadonlyMap<Kind, string>; took: number },
): string {
  const kinds = KINDS.map((kind) => `${TITLES[kind]}`);
  const held = rows.filter(({ fault }) => fault.holdsClients);
  return `# Faults

Made by \`scripts/faults\`, not by hand: ${new Date().toISOString().slice(0, 10)}, in ${Math.round(took / 1000)} s, on Linux ${release()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB.
${KINDS.map((kind) => `${TITLES[kind]}: ${versions.get(kind) ?? "not installed"}`).join("; ")}; Bun ${Bun.version} for the clients.

An etcd cluster of three, each member in a network namespace of its own. The gateways are beside each other in
another one and meet the same fault at the same time, each with ${WORKERS} workers that put and get keys of 1 byte to
48 KiB, one after the other, each attempt on a new connection, before, during and after the fault; a client
gives up after ${PATIENCE_MS / 1000} s and tries nothing twice. The member that is struck is never the leader.
Delay, loss, doubling and swallowing are made by a user-space wire between two TAP devices (\`test/faults/wire.ts\`),
not by \`tc netem\`, which many kernels lack; silence is made by a switch port without a cable, so that nobody gets a RST or an ICMP.
Ours runs with ${OUR_FLAGS.length === 0 ? "its defaults" : `\`${OUR_FLAGS.join(" ")}\``}, etcd's gateway with its defaults, HAProxy with the configuration below.
Where health is asked, ours has \`--health-url=http://{host}:{port}/health\` and HAProxy \`option httpchk GET /health\`; etcd's gateway cannot ask.

| fault | for | ${kinds.join(" | ")} | bytes checked |
| --- | --- | ${kinds.map(() => "---").join(" | ")} | --- |
${rows.map(rowMarkdown).join("\n")}

How to read it: *failed / attempts (why), longest wait, longest gap*. The wait is a client's for its whole answer, or for
the failure; the gap is the longest time without any success. *late* gave up after ${PATIENCE_MS / 1000} s; *refused*, *reset* and *cut* are
the connection's end; *etcd N* is an answer of etcd itself, by HTTP status, which a gateway that does not read requests
cannot spare anybody. *after* counts those that began when the fault was over. Bytes are of all gateways together: each value is
read through the gateway when it was put, and again from a surviving member at the end of the row.
An attempt that was under way at a member when that was struck can fail behind any of them: none reads requests, so none may send one twice.

${held.map(heldMarkdown).join("\n\n")}
HAProxy's configuration, before its \`listen\` section:

\`\`\`
${HAPROXY_DEFAULTS}
\`\`\`
`;
}

function rowMarkdown({ fault, note, cells }: Row): string {
  const texts = KINDS.map((kind) => {
    const cell = cells.get(kind);
    return cell === undefined ? "not installed" : cellText(cell.figures);
  });
  const all = [...cells.values()].map(({ figures }) => figures);
  const wrong = all.reduce((sum, { wrongBytes }) => sum + wrongBytes, 0);
  const checked = all.reduce((sum, { checkedBytes }) => sum + checkedBytes, 0);
  const name = note === "" ? fault.name : `${fault.name} (${note})`;
  return `| ${name} | ${fault.lasts} s | ${texts.join(" | ")} | ${megabytes(checked)}, ${wrong} wrong |`;
}

function heldMarkdown({ fault, cells }: Row): string {
  const lines = [...cells].map(
    ([kind, { endings }]) => `- ${TITLES[kind]}: ${endingsText(endings!)}`,
  );
  return `When clients with an established connection to that member learn of it (*${fault.name}*; the longest of all clients):

${lines.join("\n")}
`;
}

function cellText(figures: Figures): string {
  const { failed, attempts, failures, failedAfter, longestWaitMs, longestGapMs } = figures;
  const why = Object.entries(failures).map(([failure, count]) => `${count} ${failure}`);
  if (failedAfter > 0) why.push(`${failedAfter} after`);
  const failedText = failed === 0 ? "0" : `**${failed}**`;
  const reasons = why.length === 0 ? "" : ` (${why.join(", ")})`;
  return `${failedText} / ${attempts}${reasons}, ${seconds(longestWaitMs)}, ${seconds(longestGapMs)}`;
}

function endingsText({ clients, silentMs, askingMs }: Endings): string {
  return `silent ones ${afterText(silentMs)}, ones that ask each second ${afterText(askingMs)} (${clients} clients)`;
}

const afterText = (ms: number) => (ms === Infinity ? "not while the row lasted" : seconds(ms));
const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
