// The flags of the gateway and of the commands that ask it, and the parsers of the command
// line with them. The gRPC proxy's flags are in grpc-proxy-flags.ts.
import * as configFile from "../../src/cli/config-file.ts";
import { fixedFlags } from "../../src/cli/flag.ts";
import * as argv from "../../src/cli/parse-argv.ts";
import * as config from "../../src/cli/read-config.ts";
import { allFlags } from "../../src/commands/commands.ts";
import { gatewayFlags } from "../../src/commands/gateway-flags.ts";
import { outputFlags, watchFlags } from "../../src/commands/output-flags.ts";
import type { FlagTable } from "../../src/cli/flag.ts";

export const flags: FlagTable = { ...gatewayFlags, ...outputFlags, ...watchFlags };
export const flagNames = Object.keys(flags);
/** The flags of `start`. */
export const startFlagNames = Object.keys(gatewayFlags);
/** The flags of `start` whose change a reload does not apply. */
export const restartOnly = fixedFlags(gatewayFlags);
export const flagNamed = (name: string) => flags[name]!;

export const parseArgv = (words: readonly string[]) => argv.parseArgv(words, allFlags);

/** Reads a configuration as `start` does. */
export const readConfig = (input: config.Input) =>
  config.readConfig(gatewayFlags, { ...input, knownFlags: allFlags });

export const parseConfigFile = (text: string, path: string) =>
  configFile.parseConfigFile(text, path, { flags: gatewayFlags, knownFlags: allFlags });
