// SIGHUP: reads the configuration again, and has the running gateway take over
// what can change while it runs.
import { StartError } from "../gateway/start-error.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { UsageError } from "../config/usage-error.ts";
import type { Log, Logger } from "../observe/log.ts";
import { type FlagName, flagNames } from "./flags.ts";
import { type Input, type ReadConfig, readConfig } from "./read-config.ts";

/** What stays as it was at start. */
const FIXED: readonly FlagName[] = ["listen-addr", "log-format"];

export interface ReloadDeps {
  readonly input: Input;
  readonly gateway: { reconfigure(config: GatewayConfig): Promise<void> };
  readonly log: Log;
}

export class Reload {
  readonly #deps: ReloadDeps;
  readonly #log: Logger;
  #inForce: ReadConfig;
  /** Wanted once the one under way, or the start, is over. */
  #isWanted = false;
  #isBusy = true;

  constructor(deps: ReloadDeps, inForce: ReadConfig) {
    this.#deps = deps;
    this.#log = deps.log.from("cli/reload.ts");
    this.#inForce = inForce;
  }

  /** The gateway has started; a request that came before is served now. */
  begin(): void {
    this.#isBusy = false;
    if (this.#isWanted) this.request();
  }

  /** Reloads, now or after the reload under way, of which several requests make one. */
  request(): void {
    this.#isWanted = this.#isBusy;
    if (!this.#isBusy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    try {
      await this.#reload();
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof StartError)) throw error;
      this.#log.error("reload failed, nothing was changed", { error: error.message });
    }
    this.begin();
  }

  async #reload(): Promise<void> {
    const { input, gateway, log } = this.#deps;
    const read = readConfig(input);
    // Half-written, most likely: nobody empties a file to say that all is as it was.
    if (read.fileKeys === 0 && this.#inForce.fileKeys > 0)
      throw new UsageError(`Cannot use --config-file "${read.values["config-file"]}": it is empty`);
    for (const warning of read.warnings) this.#log.warn(warning);
    const changed = flagNames.filter(
      (name) => JSON.stringify(read.values[name]) !== JSON.stringify(this.#inForce.values[name]),
    );
    const { listen, logFormat } = this.#inForce.config;
    const config = { ...read.config, listen, logFormat };
    await gateway.reconfigure(config);
    log.setLevel(config.logLevel);
    for (const flag of FIXED.filter((name) => changed.includes(name)))
      this.#log.warn("cannot change while running; restart to apply it", { flag: `--${flag}` });
    this.#inForce = {
      ...read,
      config,
      values: {
        ...read.values,
        "listen-addr": this.#inForce.values["listen-addr"],
        "log-format": this.#inForce.values["log-format"],
      },
    };
    this.#log.info("reloaded", {
      changed: changed.filter((name) => !FIXED.includes(name)).map((name) => `--${name}`),
    });
  }
}
