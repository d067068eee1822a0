// `healthcheck`: reports by its exit status whether the running gateway serves.
import { anyProxyFlags } from "./any-proxy-flags.ts";
import { ask, adminAddress, noAnswer, notAGateway } from "./ask-gateway.ts";
import { WRONG_INPUT } from "./config-text.ts";
import type { Command } from "../cli/command.ts";
import { escapeControlCharacters } from "../cli/control-characters.ts";
import { variableOf } from "../cli/flag.ts";
import { type ConfigSource, loadConfig } from "../cli/load-config.ts";
import type { Output } from "../cli/output.ts";

export const healthcheckCommand: Command = {
  words: "healthcheck",
  summary: "exit with 0 if a running gateway or gRPC proxy is ready",
  description: `Asks a running gateway or gRPC proxy at its --metrics-addr whether it serves: for the health
check of a container. Says something only if it does not.`,
  usage: [{ flag: "metrics-addr" }],
  shortUsage: [{ argument: "flags", isOptional: true }],
  flags: anyProxyFlags,
  listedFlags: ["metrics-addr", "config-file"],
  notes: [
    `The address may also come from the variable ${variableOf("metrics-addr")} or the
--config-file, as the gateway or the gRPC proxy has it.`,
  ],
  exitStatus: [
    "an endpoint is up and it is not draining",
    "it is not so, nothing answers, or the config file cannot be read",
    WRONG_INPUT,
  ],
  run: healthcheck,
};

/**
 * Resolves with 0 if an endpoint is up and the gateway is not draining. Otherwise it
 * prints why, and resolves with 1.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} if the address of the gateway is missing.
 */
async function healthcheck(input: ConfigSource, { printError }: Output): Promise<number> {
  const address = adminAddress((await loadConfig(anyProxyFlags, input)).config.metrics);
  try {
    const { status, body } = await ask(address, "/readyz");
    if (status === 200 && body === "ok\n") return 0;
    if (status !== 503) throw notAGateway();
    const reason = escapeControlCharacters(body.trim().slice(0, 200));
    printError(`etcd-gateway: not ready: ${reason}\n`);
  } catch (error) {
    printError(`etcd-gateway: ${noAnswer(address, error)}\n`);
  }
  return 1;
}
