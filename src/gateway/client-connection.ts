// Connects one client to an endpoint: runs the failover for the client's relay,
// joins the relay to the server and reports the result. It does not own the relay.
import type { DialError } from "../net/dial-error.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { Failover, type FailoverDeps, type FailoverListener } from "../resolver/failover.ts";

export interface ClientConnectionListener {
  /** The relay was joined to a server of `endpoint`. */
  joined(relay: Relay, endpoint: Endpoint): void;
  /** The client was reset. `error`: what this machine lacked; undefined: no endpoint accepts connections. */
  refused(error: DialError | undefined): void;
}

export class ClientConnection implements FailoverListener<TcpSocket> {
  readonly #relay: Relay;
  readonly #listener: ClientConnectionListener;

  constructor(relay: Relay, listener: ClientConnectionListener) {
    this.#relay = relay;
    this.#listener = listener;
  }

  /** Dials until the relay is joined or refused. If the client leaves first, the relay aborts the dials. */
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
