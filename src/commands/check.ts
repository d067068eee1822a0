// `check`: tries out what `start` would do, and prints the result as a table or as JSON.
import { checkConfig, type CheckReport, type Step } from "../resolver/cluster-check.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { StartError } from "../core/start-error.ts";
import { systemClock } from "../os/clock.ts";
import * as system from "../os/tcp.ts";
import type { Command } from "../cli/command.ts";
import { type ConfigSource, loadConfig } from "../cli/load-config.ts";
import type { Output } from "../cli/output.ts";
import { table } from "../cli/table.ts";
import { FLAG_RULES, WRONG_INPUT } from "./config-text.ts";
import { gatewayFlags } from "./gateway-flags.ts";
import { createNetwork } from "./network.ts";
import { outputFlags } from "./output-flags.ts";

const flags = { ...gatewayFlags, ...outputFlags };

export const checkCommand: Command = {
  words: "check",
  summary: "resolve, connect to and verify each endpoint",
  description: `Does all that "start" does but listening: finds the endpoints, looks up their
names, connects to each, and verifies those that must be. Prints what it saw.`,
  usage: [{ argument: "flags", isOptional: true }],
  flags,
  notes: [FLAG_RULES],
  exitStatus: ["all is well", "something is not, or a file cannot be read", WRONG_INPUT],
  run: check,
};

/**
 * Prints the report and resolves with the exit status: 0 only if every step passed.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for an invalid flag, variable or config file.
 */
async function check(input: ConfigSource, { print }: Output): Promise<number> {
  const { config, values, warnings } = await loadConfig(flags, input);
  const report = await checked(config, createNetwork(input.environment));
  const isJson = values.output === "json";
  print(
    isJson ? `${JSON.stringify({ ...report, warnings }, null, 2)}\n` : asTable(report, warnings),
  );
  return report.ok ? 0 : 1;
}

async function checked(config: GatewayConfig, network: Network): Promise<CheckReport> {
  const { isLocalAddress } = system;
  try {
    return await checkConfig(config, { clock: systemClock, network, system, isLocalAddress });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    return { ok: false, endpoints: [], errors: [error.message] };
  }
}

const HEAD = ["ENDPOINT", "FROM", "PRIORITY", "WEIGHT", "RESOLVES", "ACCEPTS", "VERIFIES"];

function asTable({ ok, endpoints, errors }: CheckReport, warnings: readonly string[]): string {
  const rows = endpoints.map(({ endpoint, from, priority, weight, ...steps }) => [
    endpoint,
    from,
    String(priority),
    String(weight),
    inWords(steps.resolves),
    inWords(steps.accepts),
    inWords(steps.verifies),
  ]);
  return [
    ...(rows.length === 0 ? [] : table([HEAD, ...rows])),
    ...warnings.map((warning) => `warning: ${warning}`),
    ...errors.map((error) => `error: ${error}`),
    ok ? "all is well" : "not all is well",
    "",
  ].join("\n");
}

function inWords(step: Step | null): string {
  if (step === null) return "-";
  return `${step.ok ? "" : "no: "}${step.text} (${step.ms}ms)`;
}
