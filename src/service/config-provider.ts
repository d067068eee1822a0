// The configuration of a service, as the service sees it. It does not know the source.

/** The configuration in force, and how it is read again. */
export interface ConfigProvider<Config> {
  readonly config: Config;
  /** To be logged at start. */
  readonly warnings: readonly string[];
  /** Returns the text of each setting by name, without secrets. */
  texts(): Readonly<Record<string, string>>;
  /**
   * Reads the configuration again. The one in force stays until `commit`.
   *
   * @throws {StartError | UsageError} if it cannot be read or is invalid.
   */
  reread(): Promise<ConfigChange<Config>>;
}

export interface ConfigChange<Config> {
  readonly config: Config;
  readonly warnings: readonly string[];
  /** The settings that changed, as an operator writes them. */
  readonly changed: readonly string[];
  /** The settings that only a restart changes. */
  readonly needRestart: readonly string[];
  /** Puts the new configuration in force. */
  commit(): void;
}
