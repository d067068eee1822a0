// Flags over environment over defaults: text in, GatewayConfig out.
import type { GatewayConfig } from "../config/gateway-config.ts";
import { UsageError } from "../config/usage-error.ts";
import {
  ENVIRONMENT_PREFIX,
  type FlagName,
  type FlagValues,
  flagNamed,
  flagNames,
  variableOf,
} from "./flags.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ReadConfig {
  readonly config: GatewayConfig;
  /** What the user should know though nothing is wrong; to be logged. */
  readonly warnings: readonly string[];
}

/**
 * Turns the given flags and the environment into a configuration. An empty
 * variable counts as not set, as unit files and compose files write it.
 *
 * @throws {UsageError} naming the flag or variable, the value and the wanted form.
 */
export function readConfig(
  given: ReadonlyMap<FlagName, string>,
  environment: Environment,
): ReadConfig {
  const values = Object.fromEntries(
    flagNames.map((name) => [name, valueOf(name, given, environment)]),
  ) as FlagValues;
  if (values["discovery-srv"] !== undefined) {
    throw new UsageError(
      `Cannot use --discovery-srv "${values["discovery-srv"]}": SRV discovery is not yet supported; name the endpoints with --endpoints`,
    );
  }
  return {
    config: {
      endpoints: values.endpoints,
      listen: values["listen-addr"],
      retryDelayMs: values["retry-delay"],
      dialTimeoutMs: values["dial-timeout"],
      drainTimeoutMs: values["drain-timeout"],
      maxConnections: values["max-connections"],
      logLevel: values["log-level"],
      logFormat: values["log-format"],
    },
    warnings: [...idleDiscoveryFlags(values), ...unknownVariables(environment)],
  };
}

function valueOf(
  name: FlagName,
  given: ReadonlyMap<FlagName, string>,
  environment: Environment,
): unknown {
  const variable = variableOf(name);
  const flag = flagNamed(name);
  const fromFlag = given.get(name);
  const text = fromFlag ?? (environment[variable] || flag.default);
  // A flag without a default may be given empty, as etcd takes --discovery-srv="".
  if (text === undefined || (text === "" && flag.default === undefined)) return undefined;
  try {
    return flag.parse(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const source = fromFlag === undefined ? `${variable} (--${name})` : `--${name}`;
    throw new UsageError(
      `Cannot parse ${source} "${text}": ${error.message}, for example "${flag.example}"`,
    );
  }
}

function idleDiscoveryFlags(values: FlagValues): string[] {
  const idle: FlagName[] = [];
  if (values["discovery-srv-name"] !== undefined) idle.push("discovery-srv-name");
  if (values["insecure-discovery"]) idle.push("insecure-discovery");
  if (values["trusted-ca-file"] !== undefined) idle.push("trusted-ca-file");
  return idle.map((name) => `--${name} has no effect without --discovery-srv`);
}

/** Misspelt variables. Those that Kubernetes makes for a service of our name are not. */
function unknownVariables(environment: Environment): string[] {
  const known = new Set(flagNames.map(variableOf));
  return Object.keys(environment)
    .filter((name) => name.startsWith(ENVIRONMENT_PREFIX) && !known.has(name))
    .filter((name) => !/^ETCD_GATEWAY_(SERVICE_|PORT$|PORT_)/.test(name))
    .map((name) => `unrecognized environment variable ${name}`);
}
