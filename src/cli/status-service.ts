// --metrics-addr for `start`: the status server, with what it is allowed to tell.
import packageJson from "../../package.json" with { type: "json" };
import { formatHostPort, type HostPort, isLoopback, withoutSecrets } from "../core/address.ts";
import type { Gateway } from "../gateway/gateway.ts";
import { isAccess } from "../gateway/access-log.ts";
import { type Listen, listenFailure, resolveListenHost } from "../net/listen-address.ts";
import type { Log, Logger, LogRecord } from "../observe/log.ts";
import type { AdminServer } from "../observe/admin-server.ts";
import { rawClock, systemClock } from "../os/clock.ts";
import { processStats } from "../os/limits.ts";
import { platform } from "../os/process.ts";
import { hasDescriptors, hasIpv6 } from "../os/tcp.ts";
import { flagNamed, flagNames } from "./flags.ts";
import type { ReadConfig } from "./read-config.ts";

export interface StatusServiceDeps {
  readonly gateway: Gateway;
  readonly log: Log;
  readonly lookup: (host: string) => Promise<readonly string[]>;
  /** In force at this moment. */
  readonly current: () => ReadConfig;
}

export interface StatusService {
  /** A line of the log, for the page. */
  note(record: LogRecord): void;
  /** Frees the address. May be called twice. */
  close(): void;
}

const RETRY_MS = 200;

/** @throws {StartError} if the address cannot be listened on. */
export async function startStatusService(
  address: HostPort,
  { gateway, log, lookup, current }: StatusServiceDeps,
): Promise<StatusService> {
  const listen: Listen = { flag: "--metrics-addr", address };
  const target = await resolveListenHost(listen, { lookup, hasIpv6 });
  // Loaded here and nowhere else: who does not ask for it does not pay for it.
  const { AdminServer } = await import("../observe/admin-server.ts");
  const server = new AdminServer({
    // The event loop's delay is what this one measures.
    clock: rawClock,
    gateway: () => gateway.status(),
    process: () => ({ version: packageJson.version, runtime: platform, ...processStats() }),
    config: () => shown(current()),
    hasDescriptors,
  });
  const service = new Service(server, log.from("cli/status-service.ts"), target);
  try {
    await service.start(current().config.reusePort);
  } catch (error) {
    throw listenFailure(listen, error);
  }
  return service;
}

class Service implements StatusService {
  readonly #server: AdminServer;
  readonly #log: Logger;
  readonly #target: HostPort;
  #cancelRetry = () => {};

  constructor(server: AdminServer, log: Logger, target: HostPort) {
    this.#server = server;
    this.#log = log;
    this.#target = target;
  }

  /** With `mayWait`, for another gateway that has the address and is about to stop. */
  async start(mayWait: boolean): Promise<void> {
    try {
      await this.#listen();
    } catch (error) {
      if (!mayWait || (error as { code?: string }).code !== "EADDRINUSE") throw error;
      const address = formatHostPort(this.#target);
      this.#log.info("another process has --metrics-addr; waiting for it to stop", { address });
      this.#retry();
    }
  }

  async #listen(): Promise<void> {
    const opened = await this.#server.start(this.#target);
    const address = formatHostPort(opened);
    this.#log.info("telling how it is", { address });
    if (!isLoopback(opened.host))
      this.#log.warn("every machine that reaches this address may read how the gateway is", {
        address,
      });
  }

  #retry(): void {
    this.#cancelRetry = systemClock.after(RETRY_MS, () => {
      this.#listen().catch(() => this.#retry());
    });
  }

  note(record: LogRecord): void {
    // A line for each client would leave no room for anything else.
    if (record.level !== "debug" && !isAccess(record.msg)) this.#server.note(record);
  }

  close(): void {
    this.#cancelRetry();
    this.#server.close();
  }
}

/** What is in force, flag by flag, as it was written. */
function shown({ texts }: ReadConfig): Record<string, string> {
  const pairs = flagNames.flatMap((name) => {
    const text = texts[name];
    const { isSecret, onlyFor } = flagNamed(name);
    if (text === undefined || onlyFor !== undefined) return [];
    return [[name, isSecret ? "(not shown)" : withoutSecrets(text)]];
  });
  return Object.fromEntries(pairs);
}
