// `check`: what `start` would find, printed for people or for scripts.
import { checkConfig, type CheckReport, type Step } from "../gateway/check.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { StartError } from "../core/start-error.ts";
import { systemClock } from "../os/clock.ts";
import * as system from "../os/tcp.ts";
import { type ConfigSource, loadConfig } from "./load-config.ts";
import { createNetwork } from "./network.ts";
import { table } from "./table.ts";

/**
 * Prints what it saw and resolves with the exit status: 0 only if all is well.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for what a flag, variable or config file has wrong.
 */
export async function check(input: ConfigSource, print: (text: string) => void): Promise<number> {
  const { config, values, warnings } = await loadConfig(input);
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
