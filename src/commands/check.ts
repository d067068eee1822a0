// `check`: tries out what `start` would do.
import { checkConfig } from "../resolver/cluster-check.ts";
import { systemClock } from "../os/clock.ts";
import * as system from "../os/tcp.ts";
import type { Command } from "../cli/command.ts";
import { type ConfigSource, loadConfig } from "../cli/load-config.ts";
import type { Output } from "../cli/output.ts";
import { printReport } from "./check-report.ts";
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
async function check(input: ConfigSource, output: Output): Promise<number> {
  const { config, values, warnings } = await loadConfig(flags, input);
  const network = createNetwork(input.environment);
  const { isLocalAddress } = system;
  return await printReport(
    () => checkConfig(config, { clock: systemClock, network, system, isLocalAddress }),
    { isJson: values.output === "json", warnings },
    output,
  );
}
