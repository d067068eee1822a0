// Reloads the configuration on SIGHUP, one reload at a time, and applies to the running
// proxy what can change without a restart.
import { StartError } from "../core/start-error.ts";
import type { LogLevel } from "../core/gateway-config.ts";
import { UsageError } from "../core/usage-error.ts";
import type { Log, Logger } from "../observe/log.ts";
import type { ConfigProvider } from "./config-provider.ts";

export interface ReloadDeps<Config> {
  readonly provider: ConfigProvider<Config>;
  readonly proxy: { reconfigure(config: Config): Promise<void> };
  readonly log: Log;
}

/** Is notified of each reload. */
export interface ReloadListener {
  reloading(): void;
  /** Also after a failed reload: the configuration in force stays. */
  reloaded(): void;
}

export class Reload<Config extends { readonly logLevel: LogLevel }> {
  readonly #deps: ReloadDeps<Config>;
  readonly #log: Logger;
  #listener: ReloadListener | undefined;
  /** Whether to reload once the start, or the reload in progress, is over. */
  #isWanted = false;
  #isBusy = true;
  #isOver = false;

  constructor(deps: ReloadDeps<Config>) {
    this.#deps = deps;
    this.#log = deps.log.from("service/reload.ts");
  }

  /** Serves requests from now on, and the one that came while the proxy started. */
  begin(listener: ReloadListener): void {
    this.#listener = listener;
    this.#next();
  }

  /** Ignores requests from now on: the proxy stops. */
  end(): void {
    this.#listener = undefined;
    this.#isOver = true;
  }

  #next(): void {
    this.#isBusy = false;
    if (this.#isWanted) this.request();
  }

  /** Reloads now, or once after the reload in progress, however many requests come. */
  request(): void {
    if (this.#isOver) return;
    this.#isWanted = this.#isBusy;
    if (!this.#isBusy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    this.#listener?.reloading();
    try {
      await this.#reload();
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof StartError)) throw error;
      this.#log.error("reload failed, nothing was changed", { error: error.message });
    }
    this.#listener?.reloaded();
    this.#next();
  }

  async #reload(): Promise<void> {
    const { provider, proxy, log } = this.#deps;
    const change = await provider.reread();
    for (const warning of change.warnings) this.#log.warn(warning);

    await proxy.reconfigure(change.config);
    change.commit();
    log.setLevel(change.config.logLevel);
    for (const flag of change.needRestart)
      this.#log.warn("cannot change while running; restart to apply it", { flag });
    this.#log.info("reloaded", { changed: change.changed });
  }
}
