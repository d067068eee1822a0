// The sessions to all members: opens them, keeps them, and picks the one for the next call.
// A call waits for a dial only while there is no session at all.
import type { Clock } from "../core/clock.ts";
import { dialOf } from "../core/endpoint-spec.ts";
import { DialError } from "../net/dial-error.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { HedgeBudget } from "../net/race.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Dialer } from "../resolver/failover.ts";
import type { PassiveHealth } from "../resolver/passive-health.ts";
import type { Pool } from "../resolver/pool.ts";
import {
  describeFailure,
  Session,
  type SessionDialOptions,
  type SessionListener,
} from "./session.ts";

export interface SessionsParts {
  readonly clock: Clock;
  readonly pool: Pool;
  readonly health: PassiveHealth;
  /** Opens TCP or TLS connections to members. */
  readonly dialer: Dialer<TcpSocket>;
  /** Read at each dial. */
  readonly options: (endpoint: Endpoint) => SessionDialOptions;
}

export interface SessionsListener {
  sessionReady(session: Session): void;
  /** `wasReady`: calls may have been lost. */
  sessionClosed(session: Session, reason: string): void;
  faulted(error: unknown): void;
}

/** What a failover gives a call: `terminate` leaves the session to the other calls. */
export interface SessionHandle {
  readonly session: Session;
  terminate(): void;
}

/** Sessions to one endpoint that may begin calls: more than one only if its limit of streams is reached. */
export const MAX_READY_SESSIONS = 3;

type DialEvents = { connected(handle: SessionHandle): void; failed(error: DialError): void };

export class Sessions implements Dialer<SessionHandle>, SessionListener {
  readonly hedgeBudget: HedgeBudget;
  readonly #parts: SessionsParts;
  #listener: SessionsListener | undefined;
  /** The sessions that may begin calls. */
  readonly #ready = new Map<Endpoint, Session[]>();
  readonly #dials = new Map<Endpoint, SessionDial>();
  /** All sessions, also those that only finish their calls. */
  readonly #all = new Set<Session>();
  #isClosed = false;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
    this.hedgeBudget = parts.dialer.hedgeBudget;
  }

  start(listener: SessionsListener): void {
    this.#listener = listener;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Opens a session to each endpoint that is up and has none. */
  connectAll(): void {
    for (const endpoint of this.#parts.pool.endpoints) if (endpoint.isUp) this.#connect(endpoint);
  }

  /** Returns a session for a call, on the next endpoint that has one; undefined if none has. */
  pick(): Session | undefined {
    const { pool } = this.#parts;
    let tried: Set<Endpoint> | undefined;
    for (;;) {
      const endpoint = pool.pick(tried ?? NONE);
      if (endpoint === undefined) return undefined;
      const session = this.#readyFor(endpoint);
      if (session !== undefined) return session;
      this.#connect(endpoint);
      tried ??= new Set();
      tried.add(endpoint);
    }
  }

  /** Dials for a failover. Calls that wait for the same endpoint share the dial. */
  dial(endpoint: Endpoint, events: DialEvents): () => void {
    const session = this.#readyFor(endpoint);
    if (session !== undefined) {
      events.connected(handleOf(session));
      return () => {};
    }

    if (this.#isBusy(endpoint)) {
      // Another session would not help; the calls wait.
      events.failed(new DialError(`${endpoint.label} takes no more calls for now`, "ENOBUFS"));
      return () => {};
    }

    let dial = this.#dials.get(endpoint);
    if (dial === undefined) {
      dial = this.#startDial(endpoint);
      // It may have ended at once.
      if (dial.error !== undefined) {
        events.failed(dial.error);
        return () => {};
      }
    }
    const waiting = dial;
    waiting.waiters.add(events);
    return () => waiting.waiters.delete(events);
  }

  /** Finds out whether calls could begin, for an endpoint that is down. A session that this opens stays. */
  probe(endpoint: Endpoint, done: (error: Error | undefined) => void): () => void {
    if (!this.#isBusy(endpoint))
      return this.dial(endpoint, { connected: () => done(undefined), failed: done });
    done(undefined);
    return () => {};
  }

  /** Begins no calls on the endpoint's sessions; they close when theirs have ended. */
  drain(endpoint: Endpoint): void {
    const dial = this.#dials.get(endpoint);
    this.#dials.delete(endpoint);
    dial?.abort();
    for (const session of this.#ready.get(endpoint) ?? []) session.drain();
    this.#ready.delete(endpoint);
  }

  /** Ends the endpoint's sessions and their calls. */
  terminate(endpoint: Endpoint, reason: string): void {
    for (const session of [...this.#all])
      if (session.endpoint === endpoint) session.terminate(reason);
  }

  /** Ends everything. May be called twice. */
  close(): void {
    this.#isClosed = true;
    for (const dial of this.#dials.values()) dial.abort();
    this.#dials.clear();
    for (const session of [...this.#all]) session.terminate("shutdown");
  }

  // The events of sessions.

  ready(session: Session): void {
    const { endpoint } = session;
    const dial = this.#dials.get(endpoint);
    this.#dials.delete(endpoint);
    const sessions = this.#ready.get(endpoint) ?? [];
    sessions.push(session);
    this.#ready.set(endpoint, sessions);
    // First, since it may bring the endpoint up, which calls need.
    dial?.connected(session);
    this.#listener?.sessionReady(session);
  }

  goneAway(session: Session): void {
    this.#forget(session);
    this.#reconnect(session.endpoint);
  }

  closed(session: Session, reason: string): void {
    const { endpoint } = session;
    this.#all.delete(session);
    const dial = this.#dials.get(endpoint);
    if (dial?.session === session) {
      this.#dials.delete(endpoint);
      dial.failed(
        new DialError(`${dialOf(endpoint.spec)}: HTTP/2`, describeFailure(session, reason)),
      );
      return;
    }
    this.#listener?.sessionClosed(session, reason);
    if (this.#forget(session)) this.#reconnect(endpoint);
  }

  faulted(error: unknown): void {
    this.#listener?.faulted(error);
  }

  #readyFor(endpoint: Endpoint): Session | undefined {
    const sessions = this.#ready.get(endpoint);
    if (sessions === undefined) return undefined;
    for (const session of sessions) if (session.canOpen) return session;
    return undefined;
  }

  /** Whether the endpoint's sessions can begin no call for now, and another would not help, or would be one too many. */
  #isBusy(endpoint: Endpoint): boolean {
    // A lost session is still listed while its calls end, which may go on at another.
    const sessions = (this.#ready.get(endpoint) ?? []).filter((s) => s.connection.isOpen);
    const areAllFull = sessions.every(({ connection }) => connection.isFull);
    return !areAllFull || sessions.length >= MAX_READY_SESSIONS;
  }

  /** Returns whether it could begin calls. */
  #forget(session: Session): boolean {
    const sessions = this.#ready.get(session.endpoint) ?? [];
    const at = sessions.indexOf(session);
    if (at < 0) return false;
    sessions.splice(at, 1);
    if (sessions.length === 0) this.#ready.delete(session.endpoint);
    return true;
  }

  /** A member that was restarted should have a session before the next call needs it. */
  #reconnect(endpoint: Endpoint): void {
    if (!this.#isClosed && this.#parts.pool.has(endpoint)) this.#connect(endpoint);
  }

  /** Opens a session in the background, and reports the result to the endpoint's health. */
  #connect(endpoint: Endpoint): void {
    if (this.#isClosed || !endpoint.isUp || this.#dials.has(endpoint)) return;
    if (this.#isBusy(endpoint)) return;
    const { clock, health } = this.#parts;
    const attempt = endpoint.beginDial(clock.now());
    const events = {
      connected: () => {
        attempt.connected(clock.now());
        endpoint.release();
      },
      failed: (error: DialError) => {
        attempt.failed(error.code);
        if (!error.isLocal && !this.#isClosed) health.markDown(endpoint, error, attempt.startedAt);
      },
    };
    this.dial(endpoint, events);
  }

  #startDial(endpoint: Endpoint): SessionDial {
    const { clock, dialer, options } = this.#parts;
    const { dialTimeoutMs, ...sessionOptions } = options(endpoint);
    const deadline = clock.now() + dialTimeoutMs;
    const dial = new SessionDial();
    this.#dials.set(endpoint, dial);
    const failed = (error: DialError) => {
      if (this.#dials.get(endpoint) === dial) this.#dials.delete(endpoint);
      dial.failed(error);
    };
    dial.cancel = dialer.dial(endpoint, {
      connected: (socket) => {
        const session = new Session(endpoint, sessionOptions, this);
        this.#all.add(session);
        dial.session = session;
        const remainingMs = Math.max(1, deadline - clock.now());
        dial.cancel = clock.after(remainingMs, () => session.terminate("i/o timeout"));
        socket.data = session.connection;
        session.connection.opened(socket);
      },
      failed,
    });
    return dial;
  }
}

/** A session that is being opened, and who waits for it. */
class SessionDial {
  readonly waiters = new Set<DialEvents>();
  /** Set once the socket is connected. */
  session: Session | undefined;
  error: DialError | undefined;
  /** Aborts the dial, or cancels the timeout of the handshake. */
  cancel = () => {};

  connected(session: Session): void {
    this.cancel();
    for (const waiter of this.waiters) waiter.connected(handleOf(session));
  }

  failed(error: DialError): void {
    if (this.error !== undefined) return;
    this.cancel();
    this.error = error;
    for (const waiter of this.waiters) waiter.failed(error);
  }

  /** The waiters get an error. */
  abort(): void {
    this.failed(new DialError("dial", "aborted"));
    this.session?.terminate("dial aborted");
  }
}

function handleOf(session: Session): SessionHandle {
  return { session, terminate() {} };
}

const NONE: ReadonlySet<Endpoint> = new Set();
