// The gRPC proxy's configuration as its service sees it: what the flags say, with the
// password that is in the file of --password-file.
import { hasControlCharacter } from "../cli/control-characters.ts";
import { CurrentConfig } from "../cli/current-config.ts";
import { whyNotRead } from "../cli/file-error.ts";
import type { ConfigOf } from "../cli/flag.ts";
import type { ConfigSource } from "../cli/load-config.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { StartError } from "../core/start-error.ts";
import type { ConfigChange, ConfigProvider } from "../service/config-provider.ts";
import { grpcProxyFlags } from "./grpc-proxy-flags.ts";

type Flags = typeof grpcProxyFlags;
type FlagConfig = ConfigOf<Flags>;

export class GrpcProxyConfigProvider implements ConfigProvider<GrpcProxyConfig> {
  readonly #current: CurrentConfig<Flags>;
  readonly #readFile: ConfigSource["readFile"];
  #config: GrpcProxyConfig;

  private constructor(
    current: CurrentConfig<Flags>,
    readFile: ConfigSource["readFile"],
    config: GrpcProxyConfig,
  ) {
    this.#current = current;
    this.#readFile = readFile;
    this.#config = config;
  }

  /**
   * Reads the configuration for the first time.
   *
   * @throws {StartError} if the config file or the password file cannot be used.
   * @throws {UsageError} for an invalid flag, variable or config file.
   */
  static async load(source: ConfigSource): Promise<GrpcProxyConfigProvider> {
    const current = await CurrentConfig.load(grpcProxyFlags, source);
    const { readFile } = source;
    return new GrpcProxyConfigProvider(
      current,
      readFile,
      await proxyConfig(current.config, readFile),
    );
  }

  get config(): GrpcProxyConfig {
    return this.#config;
  }

  get warnings(): readonly string[] {
    return this.#current.warnings;
  }

  texts(): Readonly<Record<string, string>> {
    return this.#current.texts();
  }

  /** A password that changed in its file counts as a change of `--password-file`. */
  async reread(): Promise<ConfigChange<GrpcProxyConfig>> {
    const change = await this.#current.reread();
    const config = await proxyConfig(change.config, this.#readFile);
    const { credentials } = this.#current.config;
    const isRenewed =
      change.config.credentials?.passwordFile !== undefined &&
      change.config.credentials.passwordFile === credentials?.passwordFile &&
      config.credentials?.password !== this.#config.credentials?.password;
    return {
      ...change,
      config,
      changed: [...change.changed, ...(isRenewed ? ["--password-file"] : [])],
      commit: () => {
        change.commit();
        this.#config = config;
      },
    };
  }
}

/**
 * Returns the configuration that the flags make, with the password of `--password-file`.
 *
 * @throws {StartError} if that file cannot be used.
 */
export async function proxyConfig(
  { isDebug, credentials, ...config }: FlagConfig,
  readFile: ConfigSource["readFile"],
): Promise<GrpcProxyConfig> {
  return {
    ...config,
    logLevel: isDebug ? "debug" : config.logLevel,
    credentials: credentials && {
      user: credentials.user,
      // The table's rules see to it that one of them is set.
      password: credentials.password ?? (await readPassword(credentials.passwordFile!, readFile)),
    },
  };
}

/** @throws {StartError} if the file cannot be read, or does not hold one line: it may be half-written. */
async function readPassword(path: string, readFile: ConfigSource["readFile"]): Promise<string> {
  const text = await readFile(path).catch((error: unknown) => {
    throw new StartError(`Cannot read --password-file "${path}": ${whyNotRead(error)}`, {
      cause: error,
    });
  });
  const password = text.replace(/\r?\n$/, "");
  if (password === "") throw new StartError(`Cannot use --password-file "${path}": it is empty`);
  if (hasControlCharacter(password))
    throw new StartError(
      `Cannot use --password-file "${path}": it has more than one line, or a control character`,
    );
  return password;
}
