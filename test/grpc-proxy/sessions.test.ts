// Sessions with scripted dials and members in memory: no socket is opened.
import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { Sessions } from "../../src/grpc-proxy/sessions.ts";
import type { Session } from "../../src/grpc-proxy/session.ts";
import { WaitingCalls } from "../../src/grpc-proxy/waiting-calls.ts";
import { FrameType } from "../../src/http2/protocol.ts";
import { encodeSettings } from "../../src/http2/settings.ts";
import { DialError } from "../../src/net/dial-error.ts";
import { HedgeBudget } from "../../src/net/race.ts";
import type { SocketOwner, TcpSocket } from "../../src/net/tcp-socket.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { PassiveHealth } from "../../src/resolver/passive-health.ts";
import { Pool } from "../../src/resolver/pool.ts";
import { Counter } from "../http2/joined.ts";
import { frameBytes, Recorder, REQUEST } from "../http2/raw-peer.ts";
import { ManualClock } from "../support/manual-clock.ts";

interface Events {
  connected(socket: TcpSocket): void;
  failed(error: DialError): void;
}

/** A dial that the test answers, and the member at its other end. */
class ScriptedDial {
  isAborted = false;
  isTerminated = false;
  socket: { data: SocketOwner } | undefined;

  constructor(
    readonly endpoint: Endpoint,
    readonly events: Events,
  ) {}

  /** The TCP connection is there. */
  connect(): void {
    const socket = {
      data: undefined as never,
      write: (_data: Uint8Array, _offset: number, length: number) => length,
      shutdown() {},
      terminate: () => {
        this.isTerminated = true;
      },
    };
    this.socket = socket;
    this.events.connected(socket as never);
  }

  /** The member sends its SETTINGS. */
  speak(maxConcurrentStreams = 1000): void {
    const settings = encodeSettings([[3, maxConcurrentStreams]]);
    this.socket!.data.received(frameBytes(FrameType.SETTINGS, 0, 0, settings));
  }
}

class Scene {
  readonly clock = new ManualClock();
  readonly pool = new Pool("round-robin");
  readonly dials: ScriptedDial[] = [];
  readonly log: string[] = [];
  readonly health: PassiveHealth;
  readonly sessions: Sessions;
  readonly waiting: WaitingCalls;

  constructor(hosts = ["a"]) {
    const { clock, pool } = this;
    pool.reconcile(hosts.map((host) => parseStaticEndpoint(`${host}:1`)));
    this.health = new PassiveHealth(pool, clock, { probe: () => () => {} }, 60_000);
    const hedgeBudget = new HedgeBudget();
    const dial = (endpoint: Endpoint, events: Events) => {
      const scripted = new ScriptedDial(endpoint, events);
      this.dials.push(scripted);
      return () => {
        scripted.isAborted = true;
      };
    };
    const keepalive = { timeMs: 0, timeoutMs: 0, isWithoutStreams: false };
    const buffered = new Counter();
    this.sessions = new Sessions({
      ...{ clock, pool, health: this.health, dialer: { dial, hedgeBudget } },
      options: () => ({ clock, buffered, keepalive, isSecure: false, dialTimeoutMs: 5000 }),
    });
    this.waiting = new WaitingCalls({
      clock,
      cluster: {
        ...{ pool, health: this.health, dialer: this.sessions, hasDiscovery: false },
        refresh: async () => {},
      },
      attemptDelayMs: () => 0,
    });
    this.sessions.start({
      sessionReady: () => this.waiting.release(),
      sessionClosed: (_, reason) => this.log.push(`closed ${reason}`),
      faulted: (error) => this.log.push(`faulted ${String(error)}`),
    });
  }

  get endpoint(): Endpoint {
    return this.pool.endpoints[0]!;
  }

  /** Opens a session to the first endpoint. */
  ready(maxConcurrentStreams?: number): Session {
    this.sessions.connectAll();
    const dial = this.dials.at(-1)!;
    dial.connect();
    dial.speak(maxConcurrentStreams);
    return this.sessions.pick()!;
  }

  close(): void {
    this.waiting.close();
    this.health.close();
    this.sessions.close();
    expect(this.clock.pending).toBe(0);
    for (const { connections } of this.pool.endpoints) expect(connections).toBe(0);
  }
}

/** A call that begins a stream as soon as a session is there. */
class Waiting {
  outcome = "";

  constructor(readonly scene: Scene) {}

  connected(): boolean {
    const session = this.scene.sessions.pick();
    if (session === undefined) return false;
    session.open(REQUEST, true, new Recorder());
    this.outcome = "connected";
    return true;
  }

  timedOut(reason: string): void {
    this.outcome = reason;
  }
}

describe("Sessions", () => {
  test("drain() tells those that wait for a dial once that it failed", () => {
    for (const isConnected of [false, true]) {
      const scene = new Scene();
      const outcomes: string[] = [];
      const { endpoint } = scene;
      scene.sessions.dial(endpoint, {
        connected: () => outcomes.push("connected"),
        failed: ({ message }) => outcomes.push(message),
      });
      if (isConnected) scene.dials[0]!.connect();
      scene.pool.reconcile([]);
      scene.sessions.drain(endpoint);
      expect(outcomes).toEqual(["dial: aborted"]);
      expect(scene.dials[0]![isConnected ? "isTerminated" : "isAborted"]).toBe(true);
      expect(scene.sessions.size).toBe(0);
      scene.close();
    }
  });

  test("close() leaves no timer, whatever is being dialled", () => {
    const scene = new Scene(["a", "b"]);
    scene.sessions.connectAll();
    scene.dials[0]!.connect();
    scene.waiting.add(new Waiting(scene), 1000);
    scene.close();
    scene.sessions.close();
    expect(scene.sessions.size).toBe(0);
  });

  test("opens another session when the streams of one are used up, and three at most", () => {
    const scene = new Scene();
    const outcomes: Waiting[] = [];
    scene.ready(1);
    for (let i = 0; i < 10; i++) {
      const call = new Waiting(scene);
      outcomes.push(call);
      if (!call.connected()) scene.waiting.add(call, 1000);
      for (const dial of scene.dials)
        if (dial.socket === undefined) {
          dial.connect();
          dial.speak(1);
        }
    }
    expect(outcomes.filter(({ outcome }) => outcome === "connected")).toHaveLength(3);
    expect(scene.dials).toHaveLength(3);
    scene.clock.advance(1000);
    expect(scene.dials).toHaveLength(3);
    expect(outcomes.at(-1)!.outcome).toBe("a:1 takes no more calls for now: ENOBUFS");
    scene.close();
  });

  test("a member that allows no streams gets three sessions, not one for each call", () => {
    const scene = new Scene();
    scene.sessions.connectAll();
    for (let i = 0; i < 20; i++) scene.waiting.add(new Waiting(scene), 1000);
    for (let i = 0; i < scene.dials.length && i < 50; i++) {
      scene.dials[i]!.connect();
      scene.dials[i]!.speak(0);
    }
    expect(scene.dials).toHaveLength(3);
    scene.clock.advance(5000);
    expect(scene.dials).toHaveLength(3);
    expect(scene.waiting.size).toBe(0);
    scene.close();
  });

  test("a call that waits begins within 250 ms when a stream ends", () => {
    const scene = new Scene();
    const session = scene.ready(1);
    const recorder = new Recorder();
    session.open(REQUEST, true, recorder);
    const call = new Waiting(scene);
    expect(call.connected()).toBe(false);
    scene.waiting.add(call, 1000);
    for (const dial of scene.dials.slice(1)) dial.events.failed(new DialError("dial", "EMFILE"));
    session.connection.received(
      frameBytes(FrameType.RST_STREAM, 0, 1, new Uint8Array([0, 0, 0, 8])),
    );
    expect(recorder.events).toEqual(["closed reset 8"]);
    scene.clock.advance(500);
    expect(call.outcome).toBe("connected");
    scene.close();
  });

  test("replaces a session that goes away, and lets its calls finish", () => {
    const scene = new Scene();
    const session = scene.ready();
    const recorder = new Recorder();
    session.open(REQUEST, true, recorder);
    const goAway = new Uint8Array([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    session.connection.received(frameBytes(FrameType.GOAWAY, 0, 0, goAway));
    expect(scene.sessions.pick()).toBeUndefined();
    scene.dials[1]!.connect();
    scene.dials[1]!.speak();
    expect(scene.sessions.pick()).not.toBe(session);
    expect(recorder.events).toEqual([]);
    scene.close();
  });
});

describe("WaitingCalls", () => {
  test("a call waits as long as it said, however often a session comes and takes no call", () => {
    const scene = new Scene();
    const call = new Waiting(scene);
    scene.waiting.add(call, 3000);
    for (let i = 0; i < 100 && call.outcome === ""; i++) {
      for (const dial of scene.dials.filter(({ socket }) => socket === undefined)) {
        dial.connect();
        dial.speak(0);
      }
      scene.clock.advance(100);
    }
    expect(scene.clock.now()).toBe(3000);
    expect(call.outcome).toBe("a:1 takes no more calls for now: ENOBUFS");
    scene.close();
  });

  test("calls begin in the order in which they came", () => {
    const scene = new Scene();
    const calls = Array.from({ length: 5 }, () => new Waiting(scene));
    for (const call of calls) scene.waiting.add(call, 3000);
    scene.dials[0]!.connect();
    scene.dials[0]!.speak(2);
    const outcomes = calls.map(({ outcome }) => outcome);
    expect(outcomes).toEqual(["connected", "connected", "", "", ""]);
    scene.close();
  });

  test("close() and a cancelled call leave nothing", () => {
    const scene = new Scene();
    const cancel = scene.waiting.add(new Waiting(scene), 3000);
    scene.waiting.add(new Waiting(scene), 3000);
    cancel();
    expect(scene.waiting.size).toBe(1);
    scene.close();
    expect(scene.waiting.size).toBe(0);
  });
});
