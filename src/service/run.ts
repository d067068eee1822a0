// Runs a proxy as a long-running process, whichever proxy it is: log, start, readiness,
// reload, stop. It reads no flags.
import type { ServiceConfig } from "../core/gateway-config.ts";
import { StartError } from "../core/start-error.ts";
import { createLog, type Log, type Logger } from "../observe/log.ts";
import { systemClock, wallClock } from "../os/clock.ts";
import { raiseDescriptorLimit } from "../os/limits.ts";
import { type LogStream, openLogStream } from "../os/log-stream.ts";
import { exit, isErrorTerminal, onUncaught } from "../os/process.ts";
import { inheritedListeners } from "../os/systemd.ts";
import { type AdminService, startAdminService } from "./admin-service.ts";
import type { ConfigProvider } from "./config-provider.ts";
import type { ProxyServer } from "./proxy-server.ts";
import { Reload } from "./reload.ts";
import { ServiceSignals } from "./signals.ts";
import { SystemdNotifier } from "./systemd-notifier.ts";

export interface ServiceDeps<Config> {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly provider: ConfigProvider<Config>;
  /** Resolves the host of the admin server's address. */
  readonly lookup: (host: string) => Promise<readonly string[]>;
  /** Whether a log message is written for each client: the page has no room for those. */
  readonly isAccess: (message: string) => boolean;
  /** Creates the proxy, which opens nothing until it is started. */
  readonly createProxy: (parts: ProxyParts) => ProxyServer<Config>;
}

/** What the process gives to its proxy. */
export interface ProxyParts {
  readonly log: Log;
  /** The maximum of descriptors that this process may have open. */
  readonly descriptorLimit: number;
  /** The descriptor of a socket that listens already; undefined: none. */
  readonly inheritedListener: number | undefined;
}

const CALLER = "service/run.ts";
const STDERR = 2;
// Time for the reader of the log to take the last lines.
const LAST_LINES_MS = 2000;

/** Runs a proxy until a signal stops it. Resolves with the exit status. */
export async function runService<Config extends ServiceConfig>(
  deps: ServiceDeps<Config>,
): Promise<number> {
  const stream = openLogStream(STDERR);
  const service = new Service(deps, stream);
  try {
    await service.run();
    return 0;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    // Waits for a pipe that is full, or the reason would be lost.
    await stream.flush(LAST_LINES_MS);
    service.log.error(error.message);
    return 1;
  } finally {
    await service.close();
  }
}

class Service<Config extends ServiceConfig> {
  readonly log: Logger;
  readonly #deps: ServiceDeps<Config>;
  readonly #stream: LogStream;
  readonly #rootLog: Log;
  readonly #inherited: readonly number[];
  readonly #proxy: ProxyServer<Config>;
  readonly #reload: Reload<Config>;
  readonly #signals: ServiceSignals;
  readonly #notifier: SystemdNotifier;
  #admin: AdminService | undefined;

  /** Writes warnings, raises the descriptor limit and handles signals. Opens nothing else. */
  constructor(deps: ServiceDeps<Config>, stream: LogStream) {
    const { environment, provider } = deps;
    this.#deps = deps;
    this.#stream = stream;
    this.#rootLog = this.#createLog(provider.config);
    this.log = this.#rootLog.from(CALLER);
    this.#exitOnUncaught();
    for (const warning of provider.warnings) this.log.warn(warning);

    this.#inherited = inheritedListeners(environment);
    this.#proxy = deps.createProxy({
      log: this.#rootLog,
      descriptorLimit: raiseDescriptorLimit(),
      inheritedListener: this.#inherited[0],
    });
    this.#reload = new Reload({ provider, proxy: this.#proxy, log: this.#rootLog });
    this.#signals = new ServiceSignals(this.log, systemClock, () => this.#reload.request());
    this.#notifier = new SystemdNotifier({
      environment,
      clock: systemClock,
      status: () => this.#proxy.status(),
    });
  }

  /**
   * Starts everything and resolves once the proxy has drained.
   *
   * @throws {StartError | UsageError} if it cannot start.
   */
  async run(): Promise<void> {
    if (this.#inherited.length > 1) throw new StartError(tooManySockets(this.#inherited.length));
    const stop = this.#signals.nextStop();
    // A signal during a slow name lookup ends the start as well.
    const beforeStop = async (step: Promise<unknown>) =>
      (await Promise.race([step, stop.then(() => "stopped")])) !== "stopped";
    if ((await beforeStop(this.#startAdmin())) && (await beforeStop(this.#proxy.start())))
      await this.#serveUntil(stop);
    await this.#drain();
  }

  /** Closes everything and waits until the log is written. */
  async close(): Promise<void> {
    this.#admin?.close();
    this.#notifier.close();
    this.#proxy.close();
    this.#signals.close();
    await this.#stream.flush(LAST_LINES_MS);
    this.#signals.restoreIgnored();
    this.#stream.close();
  }

  async #startAdmin(): Promise<void> {
    const { provider, lookup, isAccess } = this.#deps;
    const { metrics, reusePort } = provider.config;
    if (metrics === undefined) return;
    this.#admin = await startAdminService(metrics, {
      ...{ lookup, isAccess, log: this.#rootLog, mayWait: reusePort },
      proxy: this.#proxy,
      texts: () => provider.texts(),
    });
  }

  async #serveUntil(stop: Promise<string>): Promise<void> {
    this.#notifier.ready();
    this.#reload.begin(this.#notifier);

    this.log.info("stopping", { signal: await stop });
    this.#reload.end();
    this.#notifier.stopping();
    // The process that replaces this one has the same --metrics-addr.
    if (this.#deps.provider.config.reusePort) this.#admin?.close();
  }

  /** Drains the proxy. Another signal resets the connections that remain. */
  async #drain(): Promise<void> {
    const deadline = new AbortController();
    void this.#signals.nextStop().then(() => deadline.abort());
    const cut = await this.#proxy.drain(deadline.signal);
    this.log.info("stopped", { cut });
  }

  #createLog({ logLevel, logFormat, metrics }: ServiceConfig): Log {
    const automatic = isErrorTerminal() ? "console" : "json";
    return createLog({
      level: logLevel,
      format: logFormat === "auto" ? automatic : logFormat,
      write: (line) => this.#stream.write(line),
      now: wallClock,
      ...(metrics && { onRecord: (record) => this.#admin?.note(record) }),
    });
  }

  /** After a bug of ours no state is certain, so the process exits and its supervisor starts it again. */
  #exitOnUncaught(): void {
    onUncaught((error) => {
      const { message, stack } = error instanceof Error ? error : new Error(String(error));
      this.log.debug("stack of the unexpected error", { stack });
      this.log.error("unexpected error, ending: please report this", { error: message });
      void this.#stream.flush(LAST_LINES_MS).finally(() => exit(1));
    });
  }
}

function tooManySockets(count: number): string {
  return `Cannot serve ${count} sockets (LISTEN_FDS): one is served; leave one ListenStream= in the socket unit ([::]:PORT takes IPv4 clients too)`;
}
