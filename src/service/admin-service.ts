// Runs the admin server of --metrics-addr: resolves its address, waits for it if another
// process is about to free it, and hands the server what it exposes.
import packageJson from "../../package.json" with { type: "json" };
import { formatHostPort, type HostPort, isLoopback } from "../core/address.ts";
import { type Listen, listenFailure, resolveListenHost } from "../net/listen-address.ts";
import type { Log, Logger, LogRecord } from "../observe/log.ts";
import type { AdminServer } from "../observe/admin-server.ts";
import type { ObservedProxy } from "../observe/admin-routes.ts";
import { rawClock, systemClock } from "../os/clock.ts";
import { processStats } from "../os/limits.ts";
import { platform } from "../os/process.ts";
import { hasDescriptors, hasIpv6 } from "../os/tcp.ts";

export interface AdminServiceDeps {
  readonly log: Log;
  readonly proxy: ObservedProxy;
  /** Returns the text of each setting by name, without secrets. */
  readonly texts: () => Readonly<Record<string, string>>;
  readonly lookup: (host: string) => Promise<readonly string[]>;
  readonly isAccess: (message: string) => boolean;
  /** Whether to wait for another process that has the address, and is about to stop. */
  readonly mayWait: boolean;
}

export interface AdminService {
  /** Adds a log line to those that the page shows. */
  note(record: LogRecord): void;
  /** Frees the address. May be called twice. */
  close(): void;
}

const RETRY_MS = 200;

/** @throws {StartError} if the address cannot be listened on. */
export async function startAdminService(
  address: HostPort,
  { log, proxy, texts, lookup, isAccess, mayWait }: AdminServiceDeps,
): Promise<AdminService> {
  const listen: Listen = { flag: "--metrics-addr", address };
  const target = await resolveListenHost(listen, { lookup, hasIpv6 });
  // Loaded only here, so that a service without --metrics-addr does not pay for it.
  const { AdminServer } = await import("../observe/admin-server.ts");
  const server = new AdminServer({
    // Measures the event loop's delay.
    clock: rawClock,
    proxy,
    process: () => ({ version: packageJson.version, runtime: platform, ...processStats() }),
    config: texts,
    hasDescriptors,
  });
  const service = new Service(server, {
    log: log.from("service/admin-service.ts"),
    target,
    isAccess,
  });
  try {
    await service.start(mayWait);
  } catch (error) {
    throw listenFailure(listen, error);
  }
  return service;
}

interface ServiceParts {
  readonly log: Logger;
  readonly target: HostPort;
  readonly isAccess: (message: string) => boolean;
}

class Service implements AdminService {
  readonly #server: AdminServer;
  readonly #log: Logger;
  readonly #target: HostPort;
  readonly #isAccess: (message: string) => boolean;
  #cancelRetry = () => {};

  constructor(server: AdminServer, { log, target, isAccess }: ServiceParts) {
    this.#server = server;
    this.#log = log;
    this.#target = target;
    this.#isAccess = isAccess;
  }

  /** Listens, or with `mayWait` tries again until the process that has the address stops. */
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
    this.#log.info("serving metrics and status", { address });
    if (!isLoopback(opened.host))
      this.#log.warn("every machine that reaches this address may read metrics and status", {
        address,
      });
  }

  #retry(): void {
    this.#cancelRetry = systemClock.after(RETRY_MS, () => {
      this.#listen().catch(() => this.#retry());
    });
  }

  note(record: LogRecord): void {
    // Lines for each client would leave no room for others.
    if (record.level !== "debug" && !this.#isAccess(record.msg)) this.#server.note(record);
  }

  close(): void {
    this.#cancelRetry();
    this.#server.close();
  }
}
