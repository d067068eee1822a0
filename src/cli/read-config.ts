// Flags over environment over config file over defaults: text in, GatewayConfig out.
import { formatHostPort, type HostPort, withoutSecrets } from "../core/address.ts";
import type { Credentials, GatewayConfig, SrvConfig } from "../core/gateway-config.ts";
import { UsageError } from "../core/usage-error.ts";
import { StartError } from "../core/start-error.ts";
import { parseConfigFile } from "./config-file.ts";
import { idleFlags, unknownVariables } from "./config-warnings.ts";
import { escapeControlCharacters, whyNotPlain } from "./control-characters.ts";
import { type FlagName, type FlagValues, flagNamed, flagNames, variableOf } from "./flags.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where text is read from. The config file is named by one of the other two. */
export interface Input {
  readonly given: ReadonlyMap<FlagName, string>;
  readonly environment: Environment;
  /** Reads a file; throws an error with a `code`. */
  readonly readFile: (path: string) => string;
}

export interface ReadConfig {
  readonly config: GatewayConfig;
  readonly values: FlagValues;
  /** Each value as it was written, or its default; secrets as well. */
  readonly texts: Readonly<Partial<Record<FlagName, string>>>;
  /** Keys that the config file has; 0 without one. */
  readonly fileKeys: number;
  /** What the user should know though nothing is wrong; to be logged. */
  readonly warnings: readonly string[];
}

/**
 * Turns what was given into a configuration. An empty variable counts as not
 * set, as unit files and compose files write it.
 *
 * @throws {UsageError} naming the flag, variable or file, the value and the wanted form.
 * @throws {StartError} if the config file cannot be read.
 */
export function readConfig(input: Input): ReadConfig {
  const path = configFilePath(input);
  const file = path === undefined ? NO_FILE : readConfigFile(path, input);
  const isGiven = (name: FlagName) => {
    const found = textOf(name, input, file);
    return found !== undefined && found.source !== "default";
  };
  const values = Object.fromEntries(
    flagNames.map((name) => [name, valueOf(name, input, file)]),
  ) as FlagValues;
  const srv = srvOf(values);
  return {
    values,
    texts: Object.fromEntries(flagNames.map((name) => [name, textOf(name, input, file)?.text])),
    fileKeys: file.texts.size,
    config: {
      // With SRV discovery the default address is never what was meant.
      endpoints: srv === undefined || isGiven("endpoints") ? values.endpoints : [],
      srv,
      discoveryServers: values["discovery-servers"] ?? [],
      discoveryRefreshMs: values["discovery-refresh-interval"],
      memberSyncMs: values["endpoints-auto-sync-interval"],
      tls: tlsOf(values),
      credentials: credentialsOf(values),
      policy: values.policy,
      healthUrl: values["health-url"],
      healthIntervalMs: values["health-interval"],
      healthTimeoutMs: values["health-timeout"],
      healthRise: values["health-rise"],
      healthFall: values["health-fall"],
      isClosedWhenUnhealthy: values["health-close"],
      listen: values["listen-addr"],
      reusePort: values["reuse-port"],
      retryDelayMs: values["retry-delay"],
      dialTimeoutMs: values["dial-timeout"],
      attemptDelayMs: values["connection-attempt-delay"],
      keepAliveMs: values["keepalive-time"],
      userTimeoutMs: values["tcp-user-timeout"],
      idleTimeoutMs: values["idle-timeout"],
      drainTimeoutMs: values["drain-timeout"],
      maxConnections: values["max-connections"],
      maxConnectionsPerClient: values["max-connections-per-client"],
      maxBufferBytes: values["max-buffer-memory"],
      allowedNetworks: values["allow-cidr"] ?? [],
      metrics: metricsOf(values),
      logLevel: values["log-level"],
      logFormat: values["log-format"],
      hasAccessLog: values["access-log"],
    },
    warnings: [...idleFlags(values, isGiven), ...unknownVariables(input.environment)],
  };
}

/** Undefined if no config file is named. */
export function configFilePath(input: Pick<Input, "given" | "environment">): string | undefined {
  return textOf("config-file", input, NO_FILE)?.text;
}

/** What the config file says. */
interface ConfigFile {
  readonly path: string;
  readonly texts: ReadonlyMap<FlagName, string>;
}

const NO_FILE: ConfigFile = { path: "", texts: new Map() };

function readConfigFile(path: string, { readFile }: Input): ConfigFile {
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    const { code = String(error) } = error as { code?: string };
    const why: Record<string, string> = {
      ENOENT: "there is no such file",
      EACCES: "not permitted to read it",
      EISDIR: "it is a folder",
      ETIMEDOUT: "it could not be read within 10s; does a pipe or its mount hang?",
      EBUSY: "earlier reads of files have not ended; does a mount hang?",
    };
    throw new StartError(`Cannot read --config-file "${path}": ${why[code] ?? code}`, {
      cause: error,
    });
  }
  return { path, texts: parseConfigFile(text, path) };
}

interface Text {
  readonly text: string;
  /** In words for an error. */
  readonly source: string;
}

function textOf(
  name: FlagName,
  { given, environment }: Pick<Input, "given" | "environment">,
  { path, texts }: ConfigFile,
): Text | undefined {
  const fallback = flagNamed(name).default;
  const variable = variableOf(name);
  const fromFlag = given.get(name);
  // A flag without a default may be given empty, as etcd takes --discovery-srv="".
  if (fromFlag === "" && fallback === undefined) return undefined;
  if (fromFlag !== undefined) return plainText(name, { text: fromFlag, source: `--${name}` });
  const fromVariable = environment[variable];
  if (fromVariable)
    return plainText(name, { text: fromVariable, source: `${variable} (--${name})` });
  const fromFile = texts.get(name);
  if (fromFile !== undefined) return { text: fromFile, source: `${name} in ${path}` };
  return fallback === undefined ? undefined : { text: fallback, source: "default" };
}

/** The config file's own parser has checked what comes from there. */
function plainText(name: FlagName, found: Text): Text {
  const fault = whyNotPlain(found.text);
  if (fault !== undefined) throw cannotParse(name, found, fault);
  return found;
}

function cannotParse(name: FlagName, { text, source }: Text, fact: string): UsageError {
  // Escaped first: a line break in a URL's password would hide its end from withoutSecrets.
  const quoted = flagNamed(name).isSecret
    ? ""
    : ` "${withoutSecrets(escapeControlCharacters(text))}"`;
  return new UsageError(`Cannot parse ${source}${quoted}: ${fact}`);
}

function valueOf(name: FlagName, input: Input, file: ConfigFile): unknown {
  const found = textOf(name, input, file);
  if (found === undefined) return undefined;
  const flag = flagNamed(name);
  try {
    return flag.parse(found.text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw cannotParse(name, found, `${error.message}, for example "${flag.example}"`);
  }
}

function srvOf(values: FlagValues): SrvConfig | undefined {
  const domain = values["discovery-srv"];
  if (domain === undefined) return undefined;
  return {
    domain,
    name: values["discovery-srv-name"],
    isInsecure: values["insecure-discovery"],
  };
}

function tlsOf(values: FlagValues): GatewayConfig["tls"] {
  const certFile = values["cert-file"];
  const keyFile = values["key-file"];
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [given, missing] = keyFile === undefined ? ["cert", "key"] : ["key", "cert"];
    throw new UsageError(
      `Cannot use --${given}-file "${certFile ?? keyFile}" alone: --${missing}-file is missing`,
    );
  }
  return { trustedCaFile: values["trusted-ca-file"], certFile, keyFile };
}

function credentialsOf({ user, password }: FlagValues): Credentials | undefined {
  if (user === undefined && password === undefined) return undefined;
  if (user === undefined) throw new UsageError("Cannot use --password alone: --user is missing");
  if (password === undefined)
    throw new UsageError(`Cannot use --user "${user}" alone: --password is missing`);
  return { user, password };
}

function metricsOf(values: FlagValues): HostPort | undefined {
  const metrics = values["metrics-addr"];
  const listen = values["listen-addr"];
  if (
    metrics !== undefined &&
    metrics.port !== 0 &&
    metrics.port === listen.port &&
    hostOf(metrics) === hostOf(listen)
  )
    throw new UsageError(
      `Cannot use --metrics-addr "${formatHostPort(metrics)}": it is --listen-addr, where clients connect; choose another port`,
    );
  return metrics;
}

/** Without a host it is every address, as with `::`. */
function hostOf({ host }: HostPort): string {
  return host === "" ? "::" : host;
}
