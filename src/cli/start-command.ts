// `start`: from flags to a gateway that runs until it is told to stop.
import { connectionLimit } from "../gateway/connection-limit.ts";
import { Gateway } from "../gateway/gateway.ts";
import { StartError } from "../gateway/start-error.ts";
import { createLog, type Logger } from "../observe/log.ts";
import { systemClock, wallClock } from "../os/clock.ts";
import { raiseDescriptorLimit } from "../os/limits.ts";
import { lookupHost } from "../os/lookup.ts";
import { exit, isErrorTerminal, onUncaught, StopSignals, writeError } from "../os/process.ts";
import { notifySystemd } from "../os/systemd.ts";
import * as system from "../os/tcp.ts";
import type { FlagName } from "./flags.ts";
import { type Environment, readConfig } from "./read-config.ts";

/**
 * Runs the gateway and resolves with the exit status once it has ended.
 *
 * @throws {UsageError} for what a flag or variable has wrong.
 */
export async function start(
  given: ReadonlyMap<FlagName, string>,
  environment: Environment,
): Promise<number> {
  const { config, warnings } = readConfig(given, environment);
  const automatic = isErrorTerminal() ? "console" : "json";
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat === "auto" ? automatic : config.logFormat,
    write: writeError,
    now: wallClock,
  }).from("cli/start-command.ts");
  const stopSignals = new StopSignals();
  onUncaught((error) => {
    // A bug of ours. Nothing is known to hold any more: the supervisor starts us anew.
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    log.debug("stack of the unexpected error", { stack });
    log.error("unexpected error, ending: please report this", { error: message });
    exit(1);
  });
  try {
    for (const warning of warnings) log.warn(warning);
    const { maxConnections, warning } = connectionLimit(
      config.maxConnections,
      raiseDescriptorLimit(),
      config.endpoints.length,
    );
    if (warning !== undefined) log.warn(warning);
    const gateway = new Gateway(config, {
      clock: systemClock,
      log,
      lookup: lookupHost,
      system,
      isLocalAddress: system.isLocalAddress,
      maxConnections,
    });
    await runUntilStopped(gateway, {
      log,
      stopSignals,
      notifySocket: environment["NOTIFY_SOCKET"],
    });
    return 0;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    log.error(error.message);
    return 1;
  } finally {
    stopSignals.close();
  }
}

interface Running {
  readonly log: Logger;
  readonly stopSignals: StopSignals;
  readonly notifySocket: string | undefined;
}

async function runUntilStopped(
  gateway: Gateway,
  { log, stopSignals, notifySocket }: Running,
): Promise<void> {
  const stop = stopSignals.next();
  const started = gateway.start();
  // A signal during a slow name lookup ends the start as well.
  if ((await Promise.race([started, stop.then(() => "stopped")])) !== "stopped") {
    notifySystemd(notifySocket, "READY=1");
    log.info("stopping", { signal: await stop });
    notifySystemd(notifySocket, "STOPPING=1");
  }
  const cut = await gateway.drain(stopSignals.next());
  log.info("stopped", { cut });
}
