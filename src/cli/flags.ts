// The one table of flags. Parsing, help, the names of environment variables and
// the keys of the config file are all read off it; a flag that is not here does
// not exist.
import { connectionFlags } from "./connection-flags.ts";
import { discoveryFlags } from "./discovery-flags.ts";
import type { Flag } from "./flag.ts";
import { healthFlags } from "./health-flags.ts";
import { operationFlags } from "./operation-flags.ts";

/** In the order of help. */
export const flags = { ...connectionFlags, ...discoveryFlags, ...healthFlags, ...operationFlags };

export type FlagName = keyof typeof flags;
export type FlagValues = {
  -readonly [Name in FlagName]:
    | ReturnType<(typeof flags)[Name]["parse"]>
    | ((typeof flags)[Name] extends { default: string } ? never : undefined);
};

export const flagNames = Object.keys(flags) as FlagName[];

/** The table's row, with the optional fields that only some rows have. */
export function flagNamed(name: FlagName): Flag<unknown> {
  return flags[name];
}

/** `--listen-addr` is ETCD_GATEWAY_LISTEN_ADDR. */
export function variableOf(name: FlagName): string {
  return ENVIRONMENT_PREFIX + name.toUpperCase().replaceAll("-", "_");
}

export const ENVIRONMENT_PREFIX = "ETCD_GATEWAY_";
