// `start`: from flags to a gateway that runs until it is told to stop.
import { Gateway } from "../gateway/gateway.ts";
import { logOptionFailures } from "../gateway/option-failures.ts";
import { StartError } from "../core/start-error.ts";
import { createLog, type Log, type LogRecord } from "../observe/log.ts";
import { random } from "../os/random.ts";
import { systemClock, wallClock } from "../os/clock.ts";
import { raiseDescriptorLimit } from "../os/limits.ts";
import {
  exit,
  isErrorTerminal,
  onHangup,
  onUncaught,
  StopSignals,
  writeError,
} from "../os/process.ts";
import { inheritedListeners } from "../os/systemd.ts";
import * as system from "../os/tcp.ts";
import { createNetwork } from "./network.ts";
import { type Input, readConfig } from "./read-config.ts";
import { Reload } from "./reload.ts";
import { SystemdNotifier } from "./systemd-notifier.ts";
import { startStatusService, type StatusService } from "./status-service.ts";

/**
 * Runs the gateway and resolves with the exit status once it has ended.
 *
 * @throws {UsageError} for what a flag, variable or config file has wrong.
 */
export async function start(input: Input): Promise<number> {
  const read = readConfig(input);
  const { config, warnings } = read;
  const automatic = isErrorTerminal() ? "console" : "json";
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat === "auto" ? automatic : config.logFormat,
    write: writeError,
    now: wallClock,
    ...(config.metrics && { onRecord: (record: LogRecord) => service?.note(record) }),
  });
  let service: StatusService | undefined;
  const stopSignals = new StopSignals();
  endOnUncaught(log);
  for (const warning of warnings) log.from(CALLER).warn(warning);
  const descriptorLimit = raiseDescriptorLimit();
  const inherited = inheritedListeners(input.environment);
  const network = createNetwork(input.environment);
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
    log.from(CALLER).error(error.message);
    return 1;
  } finally {
    service?.close();
    notifier.close();
    stopSignals.close();
    ignoreHangups();
    gateway.close();
  }
}

const CALLER = "cli/start-command.ts";

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
function endOnUncaught(log: Log): void {
  onUncaught((error) => {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    log.from(CALLER).debug("stack of the unexpected error", { stack });
    log.from(CALLER).error("unexpected error, ending: please report this", { error: message });
    exit(1);
  });
}
