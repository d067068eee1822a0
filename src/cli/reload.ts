// SIGHUP: reads the configuration again, and has the running gateway take over
// what can change while it runs.
import { StartError } from "../core/start-error.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import { UsageError } from "../core/usage-error.ts";
import type { Log, Logger } from "../observe/log.ts";
import { type FlagName, flagNames } from "./flags.ts";
import { type ConfigSource, loadConfig } from "./load-config.ts";
import type { ReadConfig } from "./read-config.ts";

/** Flags whose change a reload does not apply; the docs and the default config file name them. */
export const RESTART_ONLY = [
  "listen-addr",
  "reuse-port",
  "log-format",
  "metrics-addr",
] as const satisfies FlagName[];

export interface ReloadDeps {
  readonly input: ConfigSource;
  readonly gateway: { reconfigure(config: GatewayConfig): Promise<void> };
  readonly log: Log;
}

/** Whoever is told of each reload. */
export interface ReloadWatcher {
  reloading(): void;
  /** Also if it has failed: what was in force goes on. */
  reloaded(): void;
}

export class Reload {
  readonly #deps: ReloadDeps;
  readonly #log: Logger;
  #current: ReadConfig;
  #watcher: ReloadWatcher | undefined;
  /** Wanted once the one under way, or the start, is over. */
  #isWanted = false;
  #isBusy = true;
  #isOver = false;

  constructor(deps: ReloadDeps, current: ReadConfig) {
    this.#deps = deps;
    this.#log = deps.log.from("cli/reload.ts");
    this.#current = current;
  }

  /** What the gateway goes by at this moment. */
  get current(): ReadConfig {
    return this.#current;
  }

  /** The gateway has started; a request that came before is served now. */
  begin(watcher: ReloadWatcher): void {
    this.#watcher = watcher;
    this.#goOn();
  }

  /** The gateway stops: there is nothing to reload any more. */
  end(): void {
    this.#watcher = undefined;
    this.#isOver = true;
  }

  #goOn(): void {
    this.#isBusy = false;
    if (this.#isWanted) this.request();
  }

  /** Reloads, now or after the reload under way, of which several requests make one. */
  request(): void {
    if (this.#isOver) return;
    this.#isWanted = this.#isBusy;
    if (!this.#isBusy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    this.#watcher?.reloading();
    try {
      await this.#reload();
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof StartError)) throw error;
      this.#log.error("reload failed, nothing was changed", { error: error.message });
    }
    this.#watcher?.reloaded();
    this.#goOn();
  }

  async #reload(): Promise<void> {
    const { input, gateway, log } = this.#deps;
    const read = await loadConfig(input);
    // Half-written, most likely: nobody empties a file to say that all is as it was.
    if (read.fileKeys === 0 && this.#current.fileKeys > 0)
      throw new UsageError(`Cannot use --config-file "${read.values["config-file"]}": it is empty`);
    for (const warning of read.warnings) this.#log.warn(warning);
    const changed = flagNames.filter(
      (name) => JSON.stringify(read.values[name]) !== JSON.stringify(this.#current.values[name]),
    );
    const { listen, logFormat, metrics } = this.#current.config;
    const config = { ...read.config, listen, logFormat, metrics };
    await gateway.reconfigure(config);
    log.setLevel(config.logLevel);
    const fixed: readonly FlagName[] = RESTART_ONLY;
    for (const flag of fixed.filter((name) => changed.includes(name)))
      this.#log.warn("cannot change while running; restart to apply it", { flag: `--${flag}` });
    const values = { ...read.values, ...only(RESTART_ONLY, this.#current.values) };
    const texts = { ...read.texts, ...only(RESTART_ONLY, this.#current.texts) };
    this.#current = { ...read, config, values, texts };
    this.#log.info("reloaded", {
      changed: changed.filter((name) => !fixed.includes(name)).map((name) => `--${name}`),
    });
  }
}

function only<T extends object, Name extends keyof T>(names: readonly Name[], of: T) {
  return Object.fromEntries(names.map((name) => [name, of[name]])) as Pick<T, Name>;
}
