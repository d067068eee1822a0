// Owns the open relays, the endpoint of each, and the timeouts and limits that end
// relays: idle, vanished client, stalled while closing, buffered bytes. It neither
// accepts clients nor dials endpoints.
import type { Clock } from "../core/clock.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import type { Logger } from "../observe/log.ts";
import { BufferLimit, type BufferLimitListener } from "../net/buffer-limit.ts";
import { type ExpiryReason, IdleTimeout, type IdleTimeoutListener } from "../relay/idle-timeout.ts";
import type { RelayEnd } from "../relay/relay-end.ts";
import { Relay, type RelayDeps, type RelayListener } from "../relay/relay.ts";
import { StallTimeout } from "../relay/stall-timeout.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

export interface ConnectionTableListener {
  /** A relay has closed and left the table. `endpoint` is set if it was joined to one. */
  closed(relay: Relay, endpoint: Endpoint | undefined): void;
}

// Longer than a slow reader needs to reopen its receive window, for which it must
// read a sixteenth of its buffer.
const STALL_TIMEOUT_MS = 60_000;

const RESET_MESSAGES = {
  endpoint_left: "reset relays to a removed endpoint",
  endpoint_unhealthy: "reset relays to an unhealthy endpoint",
};

export class ConnectionTable
  implements RelayListener, IdleTimeoutListener<Relay>, BufferLimitListener
{
  #hasAccessLog = false;
  readonly #log: Logger;
  /** The endpoint of each relay; undefined while endpoints are being dialled. */
  readonly #endpoints = new Map<Relay, Endpoint | undefined>();
  readonly #stallTimeout: StallTimeout;
  readonly #idleTimeout: IdleTimeout<Relay>;
  readonly #bufferLimit: BufferLimit<Relay>;
  readonly #relayDeps: RelayDeps;
  #listener: ConnectionTableListener | undefined;
  #onEmpty: (() => void) | undefined;

  /**
   * Opens nothing; `start` starts the timeouts. A relay that is closing is reset after
   * `stallTimeoutMs` without progress.
   */
  constructor(
    clock: Clock,
    log: Logger,
    system: TcpSystem,
    stallTimeoutMs: number = STALL_TIMEOUT_MS,
  ) {
    this.#log = log;
    this.#stallTimeout = new StallTimeout(clock, stallTimeoutMs);
    this.#idleTimeout = new IdleTimeout(clock, this.#endpoints);
    this.#bufferLimit = new BufferLimit(clock, this.#endpoints);
    this.#relayDeps = {
      clock,
      system,
      stallTimeout: this.#stallTimeout,
      bufferLimit: this.#bufferLimit,
      listener: this,
    };
  }

  /** Starts the timeouts. Relays may be added from now on; `listener` is notified when they close. */
  start(config: GatewayConfig, listener: ConnectionTableListener): void {
    this.#listener = listener;
    this.#hasAccessLog = config.hasAccessLog;
    this.#idleTimeout.start(config, this);
    this.#bufferLimit.start(config.maxBufferBytes, this);
  }

  /** Applies another configuration to open relays and to new ones. */
  reconfigure(config: GatewayConfig): void {
    this.#hasAccessLog = config.hasAccessLog;
    this.#idleTimeout.setLimits(config);
    this.#bufferLimit.setLimit(config.maxBufferBytes);
    if (!config.hasAccessLog) return;
    for (const relay of this.#endpoints.keys()) relay.rememberClient();
  }

  /** The number of open relays, including those whose endpoint is being dialled. */
  get count(): number {
    return this.#endpoints.size;
  }

  has(relay: Relay): boolean {
    return this.#endpoints.has(relay);
  }

  /** Adds a relay for an accepted client. The relay leaves the table when it closes. */
  add(client: TcpSocket): Relay {
    const relay = new Relay(client, this.#relayDeps);
    if (this.#hasAccessLog) relay.rememberClient();
    this.#endpoints.set(relay, undefined);
    return relay;
  }

  /** Records the endpoint that serves a relay. The table releases the endpoint's connection when the relay closes. */
  assign(relay: Relay, endpoint: Endpoint): void {
    this.#endpoints.set(relay, endpoint);
  }

  /** Returns each relay with its endpoint, which is undefined while endpoints are being dialled. */
  entries(): Iterable<[Relay, Endpoint | undefined]> {
    return this.#endpoints;
  }

  /** Ends relays whose client has reset the connection, before Bun reports it. */
  reapReset(): void {
    for (const relay of [...this.#endpoints.keys()])
      if (relay.isAbandoned) relay.terminate("client_reset");
  }

  /** Resets the relays to an endpoint, so that their clients reconnect to another. */
  resetRelays(endpoint: Endpoint, reason: keyof typeof RESET_MESSAGES): void {
    if (endpoint.connections === 0) return;

    const relays = [...this.#endpoints].filter(([, other]) => other === endpoint);
    for (const [relay] of relays) relay.terminate(reason);
    if (relays.length > 0)
      this.#log.info(RESET_MESSAGES[reason], { address: endpoint.label, relays: relays.length });
  }

  /** Resolves when the table is empty. */
  whenEmpty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      if (this.#endpoints.size === 0) resolve();
    });
  }

  /** Resets every relay and clears all timers. May be called twice. */
  close(reason: RelayEnd): void {
    for (const relay of [...this.#endpoints.keys()]) relay.terminate(reason);
    this.#stallTimeout.close();
    this.#idleTimeout.close();
    this.#bufferLimit.close();
  }

  closed(relay: Relay): void {
    const endpoint = this.#endpoints.get(relay);
    endpoint?.release(relay.bytesToServer, relay.bytesToClient);
    this.#endpoints.delete(relay);
    this.#listener?.closed(relay, endpoint);
    if (this.#endpoints.size === 0) this.#onEmpty?.();
  }

  expired(relay: Relay, reason: ExpiryReason): void {
    this.#log.debug("reset relay", { client: relay.clientAddress, reason });
  }

  holdersEnded(relays: number, bufferedBytes: number): void {
    this.#log.warn("reset relays whose peers do not read: --max-buffer-memory reached", {
      relays,
      "held-bytes": bufferedBytes,
    });
  }
}
