// One etcd address of the pool: its state, its connections and its statistics.
import { isIP } from "node:net";
import { type HostPort, UNIX_ADDRESS } from "../core/address.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import { DialStatistics } from "./dial-statistics.ts";

/**
 * What health checks say of an endpoint. `unhealthy`: it answers, but cannot serve
 * (it has no leader, for example). `unresponsive`: it does not answer.
 */
export type HealthState = "healthy" | "unhealthy" | "unresponsive";

// Dials in a row that another endpoint, dialled later, overtook before the
// endpoint is marked down like one that refuses.
const MAX_CONSECUTIVE_OVERTAKEN = 3;

/** One etcd address. Only its pool writes the first group of fields; dials count themselves. */
export class Endpoint {
  readonly address: HostPort;
  /** `host:port`, which names the endpoint in logs and identifies it. */
  readonly label: string;
  /** Its only address, if it needs no lookup; undefined if its host is a name. */
  readonly fixedAddresses: readonly string[] | undefined;
  spec: EndpointSpec;
  isUp = true;
  /** Always `healthy` without health checks. */
  health: HealthState = "healthy";
  /** Whether the latest health check passed; false before the first. */
  hasPassedCheck = false;
  /** When it last came up, on the clock. A failure that began before is out of date. */
  upSince = Number.NEGATIVE_INFINITY;
  /** When it came up or went down, or its health changed, on the clock. */
  stateChangedAt = 0;
  /** Why it is down or not healthy; undefined if it is neither. */
  downReason: string | undefined;
  /** The weight within its priority, at least 1, and what weighted round robin owes it. */
  effectiveWeight = 1;
  currentWeight = 0;

  /** Open connections and dials in progress. */
  connections = 0;
  readonly dialStatistics = new DialStatistics();
  /** Bytes of closed connections. */
  bytesToServer = 0;
  bytesToClients = 0;
  #addressCursor = 0;
  #consecutiveOvertaken = 0;

  constructor(spec: EndpointSpec) {
    this.spec = spec;
    this.address = spec.address;
    this.label = labelOf(spec);
    const { host } = spec.address;
    if (isIP(host) !== 0 || host.startsWith(UNIX_ADDRESS)) this.fixedAddresses = [host];
  }

  /** Counts a dial that begins at `now`, until it has ended or its connection is released. */
  beginDial(now: number): EndpointDial {
    this.connections++;
    return new EndpointDial(this, now);
  }

  /** Counts what uses a connection that was dialled earlier, until it is released. */
  acquire(): void {
    this.connections++;
  }

  /** Takes off a connection that has closed, and adds its bytes to the totals. */
  release(bytesToServer = 0, bytesToClient = 0): void {
    this.connections--;
    this.bytesToServer += bytesToServer;
    this.bytesToClients += bytesToClient;
  }

  /** Returns 0, 1, 2 and so on, so that the addresses of a name take turns. */
  nextAddressTurn(): number {
    return this.#addressCursor++;
  }

  /** For its dials: records whether the last one was overtaken, and returns whether too many were. */
  recordOvertaken(isOvertaken: boolean): boolean {
    this.#consecutiveOvertaken = isOvertaken ? this.#consecutiveOvertaken + 1 : 0;
    if (this.#consecutiveOvertaken < MAX_CONSECUTIVE_OVERTAKEN) return false;
    this.#consecutiveOvertaken = 0;
    return true;
  }
}

/** Why an endpoint that was overtaken too often is marked down. */
export const OVERTAKEN_REASON = `no answer ${MAX_CONSECUTIVE_OVERTAKEN} times in a row while others answered`;

const NOTHING = () => {};

/** A dial of one endpoint. Exactly one of `connected`, `failed` and `abort` is called. */
export class EndpointDial {
  readonly endpoint: Endpoint;
  /** On the clock. */
  readonly startedAt: number;
  /** Closes what the dial has opened. */
  abortConnect = NOTHING;
  /** Set if another endpoint has connected, before the dial is aborted. */
  isOvertaken = false;

  constructor(endpoint: Endpoint, startedAt: number) {
    this.endpoint = endpoint;
    this.startedAt = startedAt;
  }

  /** The dial is a connection now, which the endpoint counts until `release`. */
  connected(now: number): void {
    this.endpoint.recordOvertaken(false);
    this.endpoint.dialStatistics.connected(now - this.startedAt);
  }

  /** `code` is an errno's name, or one of the resolver's. */
  failed(code: string): void {
    this.endpoint.dialStatistics.failed(code);
    this.endpoint.release();
  }

  abort(): void {
    const outcome = this.isOvertaken ? "overtaken" : "abandoned";
    this.endpoint.dialStatistics.outcomes[outcome]++;
    this.endpoint.release();
    this.abortConnect();
  }
}
