// Who exists, who is up, who is next. Opens nothing and waits for nothing.
import { formatHostPort, type HostPort } from "../config/address.ts";

/** One etcd address. Whether it is up is its pool's to change. */
export class Endpoint {
  readonly address: HostPort;
  /** `host:port`: how logs name it, and what makes two endpoints the same. */
  readonly label: string;
  isUp = true;
  /** When it last came up, on the clock; a failure that began before is old news. */
  upSince = Number.NEGATIVE_INFINITY;

  constructor(address: HostPort) {
    this.address = address;
    this.label = formatHostPort(address);
  }
}

export class Pool {
  readonly endpoints: readonly Endpoint[];
  #up: readonly Endpoint[];
  #turn = 0;

  /** All endpoints are up until they are found down. An address given twice counts once. */
  constructor(addresses: readonly HostPort[]) {
    const byLabel = new Map(addresses.map((a) => [formatHostPort(a), new Endpoint(a)]));
    this.endpoints = [...byLabel.values()];
    this.#up = this.endpoints;
  }

  /**
   * The next endpoint in turn that is up and not among `tried`; undefined if
   * there is none. The turn goes over those that are up, so that the neighbour
   * of one that is down gets no double share.
   */
  pick(tried: ReadonlySet<Endpoint>): Endpoint | undefined {
    const up = this.#up;
    for (let i = 0; i < up.length; i++) {
      const endpoint = up[this.#turn++ % up.length]!;
      if (!tried.has(endpoint)) return endpoint;
    }
    return undefined;
  }

  /** Returns whether that changed anything. */
  setUp(endpoint: Endpoint, isUp: boolean): boolean {
    if (endpoint.isUp === isUp) return false;
    endpoint.isUp = isUp;
    this.#up = this.endpoints.filter((e) => e.isUp);
    return true;
  }
}
