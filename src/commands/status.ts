// `status`: prints the state of a running gateway as text or as JSON.
import type { GatewayStatus } from "../gateway/gateway-status.ts";
import type { ProcessStatus, ProxyStatus } from "../observe/status.ts";
import { sleep } from "../os/clock.ts";
import { formatDuration } from "../core/duration.ts";
import { isOutputTerminal } from "../os/process.ts";
import type { HostPort } from "../core/address.ts";
import { anyProxyFlags } from "./any-proxy-flags.ts";
import { ask, adminAddress, noAnswer, notAGateway } from "./ask-gateway.ts";
import type { Command } from "../cli/command.ts";
import { variableOf } from "../cli/flag.ts";
import { type ConfigSource, loadConfig } from "../cli/load-config.ts";
import type { Output } from "../cli/output.ts";
import { table } from "../cli/table.ts";
import { WRONG_INPUT } from "./config-text.ts";
import { outputFlags, watchFlags } from "./output-flags.ts";

const flags = { ...anyProxyFlags, ...outputFlags, ...watchFlags };

export const statusCommand: Command = {
  words: "status",
  summary: "print the state of a running gateway or gRPC proxy",
  description:
    "Asks a running gateway or gRPC proxy at its --metrics-addr for its state, and prints it.",
  usage: [
    { flag: "metrics-addr" },
    { flag: "watch", isOptional: true },
    { flag: "output", value: "json", isOptional: true },
  ],
  shortUsage: [{ argument: "flags", isOptional: true }],
  flags,
  listedFlags: ["metrics-addr", "config-file", "output", "watch"],
  notes: [
    `The address may also come from the variable ${variableOf("metrics-addr")} or the
--config-file, as the gateway or the gRPC proxy has it. All flags of "start" and of
"grpc-proxy start" are taken and not used, so that a unit's command line works with
the words changed.`,
  ],
  exitStatus: ["it answered", "it did not, or the config file cannot be read", WRONG_INPUT],
  run: status,
};

/** The part of /status that is printed. Only the L4 gateway relays, and has ends of relays. */
interface StatusResponse {
  readonly gateway: ProxyStatus & Partial<Pick<GatewayStatus, "relayed" | "ended">>;
  readonly process: ProcessStatus;
}

const WATCH_MS = 2000;
// A terminal might obey them.
const CONTROLS = /[\0-\x09\x0b-\x1f\x7f-\x9f]/g;
// Moves to the upper left corner and clears the screen.
const CLEAR = "\x1b[H\x1b[2J";

/**
 * Prints once, or with --watch until interrupted, and resolves with the exit status: 1
 * if the gateway does not answer.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} if the address of the gateway is missing.
 */
async function status(input: ConfigSource, output: Output): Promise<number> {
  const read = await loadConfig(flags, input);
  const address = adminAddress(read.config.metrics);
  const isJson = read.values.output === "json";
  const clear = read.values.watch && !isJson && isOutputTerminal() ? CLEAR : "";
  for (;;) {
    try {
      const { body, response } = await askStatus(address);
      const text = isJson ? `${body}\n` : describe(response).replace(CONTROLS, "?");
      // The reader has closed the pipe.
      if (!output.print(`${clear}${text}`)) return 0;
    } catch (error) {
      output.printError(`etcd-gateway: ${noAnswer(address, error)}\n`);
      if (!read.values.watch) return 1;
    }
    if (!read.values.watch) return 0;
    await sleep(WATCH_MS);
  }
}

async function askStatus(address: HostPort): Promise<{ body: string; response: StatusResponse }> {
  const { status: code, body } = await ask(address, "/status?moments=0");
  const response = code === 200 ? (parsed(body) as StatusResponse | undefined) : undefined;
  if (
    typeof response?.gateway?.listen !== "string" ||
    typeof response.process?.version !== "string"
  )
    throw notAGateway();
  return { body, response };
}

/** @throws {Error} of `notAGateway` for a response that lacks something. */
function describe(response: StatusResponse): string {
  try {
    return asText(response);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw notAGateway();
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

const HEAD = ["ENDPOINT", "STATE", "FOR", "PRIO", "WEIGHT", "CONNS", "TO SERVER", "TO CLIENTS"];

function asText({ gateway, process: processStatus }: StatusResponse): string {
  const { endpoints, refused, relayed, ended, draining, listen } = gateway;
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
    `etcd-gateway ${processStatus.version} on ${listen}, up ${duration(gateway.uptimeMs)}${draining ? ", draining" : ""}`,
    `clients: ${gateway.active} of at most ${gateway.maxConnections}, ${gateway.accepted} accepted${relayed === undefined ? "" : `, ${relayed} relayed`}`,
    `refused: ${counts(refused)}`,
    ...(ended === undefined ? [] : [`ended: ${counts(ended)}`]),
    `bytes: ${size(gateway.bytesToServers)} to servers, ${size(gateway.bytesToClients)} to clients, ${size(gateway.heldBytes)} buffered`,
    ...gateway.discovery.map(
      ({ source, refreshes, failures, ageMs }) =>
        `${source}: ${refreshes} refreshes, ${failures} failed, last success ${ageMs === null ? "never" : `${duration(ageMs)} ago`}`,
    ),
    `process: ${size(processStatus.residentBytes)} resident, ${processStatus.openDescriptors} of ${processStatus.maxDescriptors} descriptors, ${duration(processStatus.cpuSeconds * 1000)} of CPU`,
    "",
    ...table([HEAD, ...rows]),
    ...(reasons.length === 0 ? [] : ["", ...reasons]),
  ];
  return `${lines.join("\n")}\n`;
}

function stateOf({ up, healthy, health }: ProxyStatus["endpoints"][number]): string {
  if (!up) return "down";
  return healthy ? "up" : health;
}

function counts(of: Readonly<Record<string, number>>): string {
  const some = Object.entries(of).filter(([, count]) => count > 0);
  return some.length === 0 ? "none" : some.map(([name, count]) => `${count} ${name}`).join(", ");
}

/** Rounds to whole seconds. */
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
