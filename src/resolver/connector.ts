// Opens TCP connections to endpoints, for clients and for probes: looks up the
// name, leaves out the gateway's own address and unverified ones, and dials the
// rest. It does not choose the endpoint.
import type { Clock } from "../core/clock.ts";
import { dialOf } from "../core/endpoint-spec.ts";
import { DialError } from "../net/dial-error.ts";
import { Dial, type DialEvents } from "../net/dial.ts";
import { HedgeBudget } from "../net/race.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import type { LookupError, DnsCache } from "./dns-cache.ts";
import type { Endpoint } from "./endpoint.ts";
import type { IsSelf } from "./self-address.ts";
import { usableAddresses } from "./usable-addresses.ts";

/** The part of the configuration that a dial needs, in milliseconds. */
export interface DialLimits {
  /** Timeout of a dial, from the lookup to the connection. */
  readonly dialTimeoutMs: number;
  /** Silence of an address after which the endpoint's next address is dialled as well. 0: never. */
  readonly attemptDelayMs: number;
  readonly keepAliveMs: number;
  readonly userTimeoutMs: number;
}

export interface ConnectorListener {
  /** Refreshes discovery, for an endpoint without a verified address; resolves when that is done. */
  refresh(): Promise<void>;
}

export class Connector {
  readonly hedgeBudget = new HedgeBudget();
  readonly #names: DnsCache;
  readonly #system: TcpSystem;
  readonly #clock: Clock;
  readonly #isSelf: IsSelf;
  #limits: DialLimits | undefined;
  #listener: ConnectorListener | undefined;

  /** Opens nothing; `start` must precede the first dial. */
  constructor(names: DnsCache, system: TcpSystem, clock: Clock, isSelf: IsSelf) {
    this.#names = names;
    this.#system = system;
    this.#clock = clock;
    this.#isSelf = isSelf;
  }

  /** Dials with these limits from now on. */
  start(limits: DialLimits, listener: ConnectorListener): void {
    this.#limits = limits;
    this.#listener = listener;
  }

  /** Applies other limits to new dials. */
  setLimits(limits: DialLimits): void {
    this.#limits = limits;
  }

  /** Dials an endpoint. May call `events` before it returns. The returned function aborts the dial. */
  dial(endpoint: Endpoint, events: DialEvents): () => void {
    const { fixedAddresses } = endpoint;
    if (fixedAddresses !== undefined && hasVerified(endpoint, fixedAddresses)) {
      const { dialTimeoutMs } = this.#limits!;
      const dial = this.#startDial(endpoint, events, fixedAddresses, dialTimeoutMs);
      return () => dial?.abort();
    }
    return this.#lookUpAndDial(endpoint, events);
  }

  #lookUpAndDial(endpoint: Endpoint, events: DialEvents): () => void {
    const attempt: Attempt = {
      endpoint,
      events,
      deadline: this.#clock.now() + this.#limits!.dialTimeoutMs,
      abort: () => {},
    };
    this.#lookUp(attempt, (addresses) => this.#connectVerified(attempt, addresses));
    return () => attempt.abort();
  }

  /** Opens a connection to an endpoint and closes it. The returned function aborts the probe. */
  probe(endpoint: Endpoint, done: (error: Error | undefined) => void): () => void {
    return this.dial(endpoint, {
      connected: (socket) => {
        // A reset, as HAProxy's checks send: nothing was sent, and no TIME_WAIT remains.
        socket.terminate();
        done(undefined);
      },
      failed: done,
    });
  }

  #lookUp(attempt: Attempt, onFound: (addresses: readonly string[]) => void): void {
    const { endpoint, events } = attempt;
    let isDone = false;
    const cancel = this.#names.resolve(
      endpoint.address.host,
      this.#remainingMs(attempt),
      (addresses, error) => {
        isDone = true;
        if (addresses === undefined) events.failed(lookupFailure(endpoint, error));
        else onFound(addresses);
      },
    );
    // The lookup may end before it returns.
    if (!isDone) attempt.abort = cancel;
  }

  /** Connects; if none of the addresses is verified, waits for a refresh of discovery first. */
  #connectVerified(attempt: Attempt, addresses: readonly string[]): void {
    if (hasVerified(attempt.endpoint, addresses)) {
      this.#connect(attempt, addresses);
      return;
    }

    let isWaiting = true;
    const resume = () => {
      if (isWaiting) this.#connect(attempt, addresses);
      isWaiting = false;
    };
    const cancelTimer = this.#clock.after(this.#remainingMs(attempt), resume);
    attempt.abort = () => {
      isWaiting = false;
      cancelTimer();
    };
    void this.#listener!.refresh().then(() => {
      cancelTimer();
      resume();
    });
  }

  #connect(attempt: Attempt, addresses: readonly string[]): void {
    const { endpoint, events } = attempt;
    const dial = this.#startDial(endpoint, events, addresses, this.#remainingMs(attempt));
    if (dial !== undefined) attempt.abort = () => dial.abort();
  }

  /** Dials those of `addresses` that may be dialled. If there are none, reports why and returns undefined. */
  #startDial(
    endpoint: Endpoint,
    events: DialEvents,
    addresses: readonly string[],
    timeoutMs: number,
  ): Dial | undefined {
    const isSelf = this.#isSelf;
    const { attemptDelayMs, keepAliveMs, userTimeoutMs } = this.#limits!;
    const { port } = endpoint.address;

    const usable = usableAddresses(addresses, port, endpoint.spec, isSelf);
    if (usable.length === 0) {
      const isGateway = addresses.every((address) => isSelf(address, port));
      const reason = isGateway
        ? "resolves to this process's own listen address"
        : "has no verified address";
      events.failed(new DialError(dialOf(endpoint.spec), reason));
      return undefined;
    }

    const options = {
      addresses: rotateAddresses(usable, endpoint.nextAddressTurn()),
      port,
      timeoutMs,
      attemptDelayMs,
      keepAliveMs,
      userTimeoutMs,
      hedgeBudget: this.hedgeBudget,
    };
    const dial = new Dial(this.#system, this.#clock, options, events);
    dial.start();
    return dial;
  }

  #remainingMs({ deadline }: Attempt): number {
    return Math.max(1, deadline - this.#clock.now());
  }
}

/** One dial, through its steps: lookup, verification, connect. */
interface Attempt {
  readonly endpoint: Endpoint;
  readonly events: DialEvents;
  /** The end of the dial timeout, on the clock. */
  readonly deadline: number;
  /** Aborts the current step. */
  abort: () => void;
}

/** Whether one of the addresses may be dialled: all of them may if none has to be verified. */
function hasVerified({ spec }: Endpoint, addresses: readonly string[]): boolean {
  const { verifiedAddresses } = spec;
  return verifiedAddresses === undefined || addresses.some((a) => verifiedAddresses.has(a));
}

/**
 * Rotates the addresses of the preferred (first) family by `turn`, so that
 * connections to a name with several members, such as a headless service, are
 * spread over all of them. Sorts them first: DNS servers rotate too, and the two
 * rotations could cancel out. The other family still comes last.
 */
function rotateAddresses(addresses: readonly string[], turn: number): readonly string[] {
  if (addresses.length === 1) return addresses;
  const isPreferred = (address: string) => address.includes(":") === addresses[0]!.includes(":");
  const preferred = addresses.filter(isPreferred).sort();
  const rest = addresses.filter((address) => !isPreferred(address));
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
