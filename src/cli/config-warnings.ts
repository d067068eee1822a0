// What the user should know of a configuration though nothing in it is wrong.
import {
  ENVIRONMENT_PREFIX,
  type FlagName,
  type FlagValues,
  flagNames,
  variableOf,
} from "./flags.ts";

const SRV: FlagName = "discovery-srv";
const SYNC: FlagName = "endpoints-auto-sync-interval";
const HEALTH: FlagName = "health-url";

/** Flags that do something only together with one of others. */
const partners: readonly [name: FlagName, others: readonly FlagName[]][] = [
  ["discovery-srv-name", [SRV]],
  ["insecure-discovery", [SRV]],
  ["discovery-refresh-interval", [SRV]],
  ["trusted-ca-file", [SRV, SYNC, HEALTH]],
  ["cert-file", [SRV, SYNC, HEALTH]],
  ["user", [SYNC]],
  ["health-interval", [HEALTH]],
  ["health-timeout", [HEALTH]],
  ["health-rise", [HEALTH]],
  ["health-fall", [HEALTH]],
];

/** Flags that were given and do nothing. */
export function idleFlags(values: FlagValues, isGiven: (name: FlagName) => boolean): string[] {
  const isOn = (name: FlagName) => Boolean(values[name]);
  return partners
    .filter(([name, others]) => isGiven(name) && isOn(name) && !others.some(isOn))
    .map(([name, others]) => {
      const wanted = others.map((other) => `--${other}`).join(" or ");
      return `--${name} has no effect without ${wanted}`;
    });
}

/** Misspelt variables. Those that Kubernetes makes for a service of our name are not. */
export function unknownVariables(
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  const known = new Set(flagNames.map(variableOf));
  return Object.keys(environment)
    .filter((name) => name.startsWith(ENVIRONMENT_PREFIX) && !known.has(name))
    .filter((name) => !/^ETCD_GATEWAY_(SERVICE_|PORT$|PORT_)/.test(name))
    .map((name) => `unrecognized environment variable ${name}`);
}
