// From an endpoint to a connected socket: its name looked up now, its addresses
// dialled, never the gateway's own. Clients and probes both come through here.
import type { Clock } from "../config/clock.ts";
import { DialError } from "../relay/dial-error.ts";
import { Dial, type DialEvents, type SecondAttempts } from "../relay/dial.ts";
import type { TcpSystem } from "../relay/tcp-socket.ts";
import type { LookupError, Names } from "../resolver/names.ts";
import type { Endpoint } from "../resolver/pool.ts";

export interface EndpointDialerDeps {
  readonly names: Names;
  readonly system: TcpSystem;
  readonly clock: Clock;
  /** For the lookup and the connect of one endpoint together. */
  readonly timeoutMs: number;
  /** Whether a connection to this IP literal and port would reach the gateway itself. */
  readonly isSelf: (address: string, port: number) => boolean;
}

export class EndpointDialer {
  readonly #deps: EndpointDialerDeps;
  readonly #secondAttempts: SecondAttempts = { count: 0 };

  constructor(deps: EndpointDialerDeps) {
    this.#deps = deps;
  }

  /** Dials; `events` may be called before this returns. The function returned aborts. */
  dial(endpoint: Endpoint, events: DialEvents): () => void {
    const { names, clock, timeoutMs } = this.#deps;
    const deadline = clock.now() + timeoutMs;
    let abortDial = () => {};
    const cancelLookup = names.resolve(endpoint.address.host, timeoutMs, (addresses, error) => {
      if (addresses === undefined) events.failed(lookupFailure(endpoint, error));
      else
        abortDial = this.#connect(endpoint, addresses, Math.max(1, deadline - clock.now()), events);
    });
    return () => {
      cancelLookup();
      abortDial();
    };
  }

  #connect(
    { label, address: { port } }: Endpoint,
    found: readonly string[],
    timeoutMs: number,
    events: DialEvents,
  ): () => void {
    const { system, clock, isSelf } = this.#deps;
    const addresses = found.filter((address) => !isSelf(address, port));
    if (addresses.length === 0) {
      events.failed(
        new DialError(`dial tcp ${label}`, "resolves to the gateway's own listen address"),
      );
      return () => {};
    }
    const dial = new Dial(
      system,
      clock,
      { addresses, port, timeoutMs, secondAttempts: this.#secondAttempts },
      events,
    );
    dial.start();
    return () => dial.abort();
  }
}

function lookupFailure(endpoint: Endpoint, error: LookupError | undefined): DialError {
  return new DialError(`dial tcp: lookup ${endpoint.address.host}`, error?.code ?? "ENOTFOUND");
}
