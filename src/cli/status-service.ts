// --metrics-addr for `start`: the status server, with what it is allowed to tell.
import packageJson from "../../package.json" with { type: "json" };
import { formatHostPort, type HostPort } from "../config/address.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { resolveListenHost } from "../gateway/start-checks.ts";
import { StartError } from "../gateway/start-error.ts";
import type { Log, LogRecord } from "../observe/log.ts";
import { systemClock } from "../os/clock.ts";
import { processFigures } from "../os/limits.ts";
import { platform } from "../os/process.ts";
import { flagNamed, flagNames } from "./flags.ts";
import type { ReadConfig } from "./read-config.ts";

export interface StatusServiceDeps {
  readonly gateway: Gateway;
  readonly log: Log;
  readonly lookup: (host: string) => Promise<readonly string[]>;
  /** In force at this moment. */
  readonly inForce: () => ReadConfig;
  readonly descriptorLimit: number;
}

export interface StatusService {
  note(record: LogRecord): void;
  close(): void;
}

/** @throws {StartError} if the address cannot be listened on. */
export async function startStatusService(
  listen: HostPort,
  { gateway, log, lookup, inForce, descriptorLimit }: StatusServiceDeps,
): Promise<StatusService> {
  const address = await resolveListenHost(listen, lookup);
  // Loaded here and nowhere else: who does not ask for it does not pay for it.
  const { StatusServer, statusListenFailure } = await import("../observe/status-server.ts");
  const server = new StatusServer({
    clock: systemClock,
    gateway: () => gateway.status(),
    process: () => ({
      version: packageJson.version,
      runtime: platform,
      maxDescriptors: descriptorLimit,
      ...processFigures(),
    }),
    config: () => shown(inForce()),
  });
  try {
    const opened = server.start(address);
    log
      .from("cli/status-service.ts")
      .info("telling how it is", { address: formatHostPort(opened) });
  } catch (error) {
    throw new StartError(statusListenFailure(listen, error), { cause: error });
  }
  return server;
}

/** What is in force, flag by flag, as it was written. */
function shown({ texts }: ReadConfig): Record<string, string> {
  const pairs = flagNames.flatMap((name) => {
    const text = texts[name];
    const { isSecret, onlyFor } = flagNamed(name);
    if (text === undefined || onlyFor !== undefined) return [];
    return [[name, isSecret ? "(not shown)" : text]];
  });
  return Object.fromEntries(pairs);
}
