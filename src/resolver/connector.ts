// From an endpoint to a connected socket: its name looked up now, its addresses
// dialled, never the gateway's own. Clients and probes both come through here.
import type { Clock } from "../core/clock.ts";
import { DialError } from "../net/dial-error.ts";
import { Dial, type DialEvents } from "../net/dial.ts";
import { HedgeBudget } from "../net/race.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import type { LookupError, DnsCache } from "./dns-cache.ts";
import type { Endpoint } from "./endpoint.ts";

/** All in milliseconds; part of the configuration. */
export interface DialLimits {
  /** For the lookup and the connect of one endpoint together. */
  readonly dialTimeoutMs: number;
  /** Between two addresses of one endpoint. */
  readonly attemptDelayMs: number;
  readonly keepAliveMs: number;
  readonly userTimeoutMs: number;
}

export interface ConnectorDeps {
  readonly names: DnsCache;
  readonly system: TcpSystem;
  readonly clock: Clock;
  /** In force at this moment. */
  readonly limits: () => DialLimits;
  /** Whether a connection to this IP literal and port would reach the gateway itself. */
  readonly isSelf: (address: string, port: number) => boolean;
  /** An endpoint has none but addresses that were not verified: looks whether they can be. */
  readonly onUnverified: () => Promise<void>;
}

export class Connector {
  readonly #deps: ConnectorDeps;
  readonly hedgeBudget = new HedgeBudget();

  constructor(deps: ConnectorDeps) {
    this.#deps = deps;
  }

  /** Dials; `events` may be called before this returns. The function returned aborts. */
  dial(endpoint: Endpoint, events: DialEvents): () => void {
    const attempt: Attempt = {
      endpoint,
      events,
      deadline: this.#deps.clock.now() + this.#deps.limits().dialTimeoutMs,
      abort: () => {},
    };
    this.#lookUp(attempt, (addresses) => this.#connectVerified(attempt, addresses));
    return () => attempt.abort();
  }

  /** Whether a connection can be opened; it is closed again at once. The function returned aborts. */
  probe(endpoint: Endpoint, done: (error: Error | undefined) => void): () => void {
    return this.dial(endpoint, {
      connected: (socket) => {
        // A reset, as HAProxy's checks do: nothing was sent, and no TIME_WAIT stays.
        socket.terminate();
        done(undefined);
      },
      failed: done,
    });
  }

  #lookUp(attempt: Attempt, found: (addresses: readonly string[]) => void): void {
    const { endpoint, events } = attempt;
    let isAnswered = false;
    const cancel = this.#deps.names.resolve(
      endpoint.address.host,
      this.#remainingMs(attempt),
      (addresses, error) => {
        isAnswered = true;
        if (addresses === undefined) events.failed(lookupFailure(endpoint, error));
        else found(addresses);
      },
    );
    if (!isAnswered) attempt.abort = cancel;
  }

  /** Where none of the addresses is verified, looks once whether they can be. */
  #connectVerified(attempt: Attempt, found: readonly string[]): void {
    const { verifiedAddresses } = attempt.endpoint.spec;
    if (verifiedAddresses === undefined || found.some((a) => verifiedAddresses.has(a))) {
      this.#connect(attempt, found);
      return;
    }
    let isWaiting = true;
    const goOn = () => {
      if (isWaiting) this.#connect(attempt, found);
      isWaiting = false;
    };
    const cancelTimer = this.#deps.clock.after(this.#remainingMs(attempt), goOn);
    attempt.abort = () => {
      isWaiting = false;
      cancelTimer();
    };
    void this.#deps.onUnverified().then(() => {
      cancelTimer();
      goOn();
    });
  }

  #connect(attempt: Attempt, found: readonly string[]): void {
    const { system, clock, isSelf, limits } = this.#deps;
    const { attemptDelayMs, keepAliveMs, userTimeoutMs } = limits();
    const { endpoint, events } = attempt;
    const { port } = endpoint.address;
    const { verifiedAddresses } = endpoint.spec;
    const usable = found.filter(
      (address) => !isSelf(address, port) && verifiedAddresses?.has(address) !== false,
    );
    if (usable.length === 0) {
      const isOwn = found.every((address) => isSelf(address, port));
      const why = isOwn
        ? "resolves to the gateway's own listen address"
        : "has no verified address";
      events.failed(new DialError(`dial tcp ${endpoint.label}`, why));
      return;
    }
    const addresses = rotateAddresses(usable, endpoint.nextAddressTurn());
    const dial = new Dial(
      system,
      clock,
      {
        addresses,
        port,
        timeoutMs: this.#remainingMs(attempt),
        attemptDelayMs,
        keepAliveMs,
        userTimeoutMs,
        hedgeBudget: this.hedgeBudget,
      },
      events,
    );
    attempt.abort = () => dial.abort();
    dial.start();
  }

  #remainingMs({ deadline }: Attempt): number {
    return Math.max(1, deadline - this.#deps.clock.now());
  }
}

/** One dial: its lookup, the wait for a verification, its connect. */
interface Attempt {
  readonly endpoint: Endpoint;
  readonly events: DialEvents;
  /** For all of it together, on the clock. */
  readonly deadline: number;
  /** Ends what is under way. */
  abort: () => void;
}

/**
 * Begins with another of the first family's addresses each time: a name that
 * stands for several members, as a headless service does, is spread over them.
 * Sorted first, since DNS servers rotate as well, and two rotations may cancel
 * each other. The system's preference between the families stays.
 */
function rotateAddresses(addresses: readonly string[], turn: number): readonly string[] {
  if (addresses.length === 1) return addresses;
  const isLikeFirst = (address: string) => address.includes(":") === addresses[0]!.includes(":");
  const preferred = addresses.filter(isLikeFirst).sort();
  const rest = addresses.filter((address) => !isLikeFirst(address));
  const start = turn % preferred.length;
  return [...preferred.slice(start), ...preferred.slice(0, start), ...rest];
}

// Of a DNS server that was not reached; the endpoint must not be counted as one that refused.
const NO_SERVER = new Set(["ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH"]);

function lookupFailure(endpoint: Endpoint, error: LookupError | undefined): DialError {
  const code = error?.code ?? "ENOTFOUND";
  const tried = `dial tcp: lookup ${endpoint.address.host}`;
  return new DialError(tried, NO_SERVER.has(code) ? "EAI_AGAIN" : code);
}
