// One client, from its arrival until a server is connected or none can be: it
// runs the failover for its relay and passes the result on.
import type { DialError } from "../net/dial-error.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { Failover, type FailoverDeps, type FailoverListener } from "../resolver/failover.ts";

export interface ClientConnectionListener {
  /** The endpoint serves the client from now on. */
  joined(relay: Relay, endpoint: Endpoint): void;
  /** The client was reset. `error` is set if this machine lacked something; undefined: no endpoint accepts. */
  refused(error: DialError | undefined): void;
}

export class ClientConnection implements FailoverListener<TcpSocket> {
  readonly #relay: Relay;
  readonly #listener: ClientConnectionListener;

  constructor(relay: Relay, listener: ClientConnectionListener) {
    this.#relay = relay;
    this.#listener = listener;
  }

  /** Dials until the relay is joined, refused, or closed by its client, which aborts the dials. */
  connect(deps: FailoverDeps<TcpSocket>): void {
    const failover = new Failover(deps, this);
    this.#relay.dialing = failover;
    failover.start();
  }

  connected(server: TcpSocket, endpoint: Endpoint): void {
    this.#relay.dialing = undefined;
    this.#relay.join(server);
    this.#listener.joined(this.#relay, endpoint);
  }

  failed(error: DialError | undefined): void {
    this.#relay.dialing = undefined;
    this.#relay.terminate("refused");
    this.#listener.refused(error);
  }
}
