// `start`: from flags to a gateway that runs until it is told to stop.
import { Gateway } from "../gateway/gateway.ts";
import { logOptionFailures } from "../gateway/option-failures.ts";
import { RateLimitedLog } from "../gateway/rate-limited-log.ts";
import { StartError } from "../core/start-error.ts";
import { createLog, type Log, type LogRecord } from "../observe/log.ts";
import { random } from "../os/random.ts";
import { systemClock, wallClock } from "../os/clock.ts";
import { ignoreSignals } from "../os/ignored-signals.ts";
import { raiseDescriptorLimit } from "../os/limits.ts";
import { type LogStream, openLogStream } from "../os/log-stream.ts";
import { exit, isErrorTerminal, onHangup, onUncaught, StopSignals } from "../os/process.ts";
import { inheritedListeners } from "../os/systemd.ts";
import { enlargeThreadPool } from "../os/thread-pool.ts";
import * as system from "../os/tcp.ts";
import { type ConfigSource, loadConfig } from "./load-config.ts";
import { createNetwork } from "./network.ts";
import { Reload } from "./reload.ts";
import { SystemdNotifier } from "./systemd-notifier.ts";
import { startStatusService, type StatusService } from "./status-service.ts";

/**
 * Runs the gateway and resolves with the exit status once it has ended.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for what a flag, variable or config file has wrong.
 */
export async function start(input: ConfigSource): Promise<number> {
  const threads = enlargeThreadPool();
  const read = await loadConfig(input);
  const { config, warnings } = read;
  const automatic = isErrorTerminal() ? "console" : "json";
  const stream = openLogStream(STDERR);
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat === "auto" ? automatic : config.logFormat,
    write: (line) => stream.write(line),
    now: wallClock,
    ...(config.metrics && { onRecord: (record: LogRecord) => service?.note(record) }),
  });
  let service: StatusService | undefined;
  const stopSignals = new StopSignals();
  endOnUncaught(log, stream);
  for (const warning of warnings) log.from(CALLER).warn(warning);
  const descriptorLimit = raiseDescriptorLimit();
  const inherited = inheritedListeners(input.environment);
  const network = createNetwork({ ...input.environment, UV_THREADPOOL_SIZE: String(threads) });
  const gateway = new Gateway(config, {
    clock: systemClock,
    log,
    network,
    system: logOptionFailures(system, log.from("os/tcp.ts")),
    random,
    isLocalAddress: system.isLocalAddress,
    descriptorLimit,
    inheritedListener: inherited[0],
  });
  const reload = new Reload({ input, gateway, log }, read);
  const ignoreHangups = onHangup(() => reload.request());
  const signalLog = new RateLimitedLog(log.from(CALLER), systemClock);
  const stopIgnoring = ignoreSignals((signal) => signalLog.warn(SIGNAL_IGNORED, { signal }));
  const notifier = new SystemdNotifier({
    environment: input.environment,
    clock: systemClock,
    status: () => gateway.status(),
  });
  try {
    if (inherited.length > 1) throw new StartError(tooManySockets(inherited.length));
    if (config.metrics !== undefined)
      service = await startStatusService(config.metrics, {
        gateway,
        log,
        lookup: (host) => network.lookup(host, []),
        current: () => reload.current,
      });
    await runUntilStopped(gateway, {
      ...{ log, stopSignals, reload, notifier },
      // The one that takes its place has the same --metrics-addr.
      onStopping: () => config.reusePort && service?.close(),
    });
    return 0;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    // A pipe that others have filled must not swallow the reason.
    await stream.flush(LAST_LINES_MS);
    log.from(CALLER).error(error.message);
    return 1;
  } finally {
    service?.close();
    notifier.close();
    stopSignals.close();
    ignoreHangups();
    gateway.close();
    signalLog.close();
    await stream.flush(LAST_LINES_MS);
    stopIgnoring();
    stream.close();
  }
}

const CALLER = "cli/start-command.ts";
const STDERR = 2;
// How long a process that ends waits for its log to be read.
const LAST_LINES_MS = 2000;
const SIGNAL_IGNORED = "ignored a signal that means nothing here";

interface Running {
  readonly log: Log;
  readonly stopSignals: StopSignals;
  readonly reload: Reload;
  readonly notifier: SystemdNotifier;
  readonly onStopping: () => void;
}

async function runUntilStopped(gateway: Gateway, running: Running): Promise<void> {
  const { stopSignals, reload, notifier, onStopping } = running;
  const log = running.log.from(CALLER);
  const stop = stopSignals.next();
  const started = gateway.start();
  // A signal during a slow name lookup ends the start as well.
  if ((await Promise.race([started, stop.then(() => "stopped")])) !== "stopped") {
    notifier.ready();
    reload.begin(notifier);
    log.info("stopping", { signal: await stop });
    reload.end();
    notifier.stopping();
    onStopping();
  }
  const hurry = new AbortController();
  void stopSignals.next().then(() => hurry.abort());
  const cut = await gateway.drain(hurry.signal);
  log.info("stopped", { cut });
}

function tooManySockets(count: number): string {
  return `Cannot serve ${count} sockets (LISTEN_FDS): one is served; leave one ListenStream= in the socket unit ([::]:PORT takes IPv4 clients too)`;
}

/** A bug of ours. Nothing is known to hold any more: the supervisor starts us anew. */
function endOnUncaught(log: Log, stream: LogStream): void {
  onUncaught((error) => {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    log.from(CALLER).debug("stack of the unexpected error", { stack });
    log.from(CALLER).error("unexpected error, ending: please report this", { error: message });
    void stream.flush(LAST_LINES_MS).finally(() => exit(1));
  });
}
