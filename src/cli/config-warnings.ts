// Warnings about a configuration that is valid: flags and variables without an effect,
// and what a flag's own row warns of.
import { ENVIRONMENT_PREFIX, type FlagTable, variableOf } from "./flag.ts";

/** Returns a warning for each flag that was given and does nothing. */
export function idleFlags(
  flags: FlagTable,
  values: Readonly<Record<string, unknown>>,
  isGiven: (name: string) => boolean,
): string[] {
  const isOn = (name: string) => Boolean(values[name]);
  return Object.entries(flags).flatMap(([name, { requires }]) => {
    if (requires === undefined || !isGiven(name) || !isOn(name) || requires.some(isOn)) return [];
    const wanted = requires.map((other) => `--${other}`).join(" or ");
    return [`--${name} has no effect without ${wanted}`];
  });
}

/** Returns what the flags' own rows warn of. */
export function flagWarnings(
  flags: FlagTable,
  values: Readonly<Record<string, unknown>>,
): string[] {
  return Object.entries(flags).flatMap(([name, flag]) => {
    const value = values[name];
    return (value === undefined ? undefined : flag.warning?.(value, values)) ?? [];
  });
}

/** Returns a warning for each misspelt variable. Those that Kubernetes sets for a service of our name are not. */
export function unknownVariables(
  flags: FlagTable,
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  const named = Object.keys(environment)
    .filter((name) => name.startsWith(ENVIRONMENT_PREFIX))
    .filter((name) => !/^ETCD_GATEWAY_(SERVICE_|PORT$|PORT_)/.test(name));
  // Without this line, most starts would name the variable of every flag for nothing,
  // often enough for JavaScriptCore to optimize that function, which costs 1.5 MiB.
  if (named.length === 0) return [];

  const known = new Set(Object.keys(flags).map(variableOf));
  return named
    .filter((name) => !known.has(name))
    .map((name) => `unrecognized environment variable ${name}`);
}
