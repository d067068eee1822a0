// `status`: what a running gateway tells of itself, for people or for scripts.
import type { GatewayStatus, ProcessStatus } from "../observe/status.ts";
import { sleep } from "../os/clock.ts";
import { formatDuration } from "../core/duration.ts";
import { isOutputTerminal } from "../os/process.ts";
import type { HostPort } from "../core/address.ts";
import { ask, adminAddress, noAnswer, notAGateway } from "./ask-gateway.ts";
import type { Output } from "./output.ts";
import { type ConfigSource, loadConfig } from "./load-config.ts";
import { table } from "./table.ts";

/** Of /status, what is printed. */
interface StatusResponse {
  readonly gateway: GatewayStatus;
  readonly process: ProcessStatus;
}

const WATCH_MS = 2000;
// What a terminal might take for more than a text.
const CONTROLS = /[\0-\x09\x0b-\x1f\x7f-\x9f]/g;
// To the upper left corner, and everything below it cleared.
const CLEAR = "\x1b[H\x1b[2J";

/**
 * Prints once, or with --watch for ever, and resolves with the exit status: 1
 * if nobody answers.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} if nothing says where to ask.
 */
export async function status(input: ConfigSource, output: Output): Promise<number> {
  const read = await loadConfig(input);
  const address = adminAddress(read);
  const isJson = read.values.output === "json";
  const clear = read.values.watch && !isJson && isOutputTerminal() ? CLEAR : "";
  for (;;) {
    try {
      const { body, told } = await askStatus(address);
      const text = isJson ? `${body}\n` : asText(told).replace(CONTROLS, "?");
      // Whoever watched has left.
      if (!output.print(`${clear}${text}`)) return 0;
    } catch (error) {
      output.printError(`etcd-gateway: ${noAnswer(address, error)}\n`);
      if (!read.values.watch) return 1;
    }
    if (!read.values.watch) return 0;
    await sleep(WATCH_MS);
  }
}

async function askStatus(address: HostPort): Promise<{ body: string; told: StatusResponse }> {
  const { status: code, body } = await ask(address, "/status?moments=0");
  const told = code === 200 ? (parsed(body) as StatusResponse | undefined) : undefined;
  if (typeof told?.gateway?.listen !== "string" || typeof told.process?.version !== "string")
    throw notAGateway();
  return { body, told };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

const HEAD = ["ENDPOINT", "STATE", "FOR", "PRIO", "WEIGHT", "CONNS", "TO SERVER", "TO CLIENTS"];

function asText({ gateway, process: figures }: StatusResponse): string {
  const { endpoints, refused, ended, draining, listen } = gateway;
  const rows = endpoints.map((endpoint) => [
    endpoint.address,
    stateOf(endpoint),
    duration(endpoint.sinceMs),
    String(endpoint.priority),
    String(endpoint.weight),
    String(endpoint.connections),
    size(endpoint.bytesToServer),
    size(endpoint.bytesToClients),
  ]);
  const reasons = endpoints.flatMap(({ address, why }) =>
    why === null ? [] : `${address}: ${why}`,
  );
  const lines = [
    `etcd-gateway ${figures.version} on ${listen}, up ${duration(gateway.uptimeMs)}${draining ? ", draining" : ""}`,
    `clients: ${gateway.active} of at most ${gateway.maxConnections}, ${gateway.accepted} accepted, ${gateway.relayed} relayed`,
    `refused: ${counts(refused)}`,
    `ended: ${counts(ended)}`,
    `bytes: ${size(gateway.bytesToServers)} to servers, ${size(gateway.bytesToClients)} to clients, ${size(gateway.heldBytes)} held`,
    ...gateway.discovery.map(
      ({ source, refreshes, failures, ageMs }) =>
        `${source}: ${refreshes} looks, ${failures} failed, last good ${ageMs === null ? "never" : `${duration(ageMs)} ago`}`,
    ),
    `process: ${size(figures.residentBytes)} resident, ${figures.openDescriptors} of ${figures.maxDescriptors} descriptors, ${duration(figures.cpuSeconds * 1000)} of CPU`,
    "",
    ...table([HEAD, ...rows]),
    ...(reasons.length === 0 ? [] : ["", ...reasons]),
  ];
  return `${lines.join("\n")}\n`;
}

function stateOf({ up, healthy, health }: GatewayStatus["endpoints"][number]): string {
  if (!up) return "down";
  return healthy ? "up" : health;
}

function counts(of: Readonly<Record<string, number>>): string {
  const some = Object.entries(of).filter(([, count]) => count > 0);
  return some.length === 0 ? "none" : some.map(([name, count]) => `${count} ${name}`).join(", ");
}

/** Whole seconds: nobody reads more at a glance. */
const duration = (ms: number) => formatDuration(Math.round(ms / 1000) * 1000);

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

function size(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
