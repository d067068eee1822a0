// Probes a member by a request, since one that hangs still accepts connections: the kernel
// does that for it. It decides nothing about the member.
import http from "node:http";
import type { Clock } from "../core/clock.ts";
import type { Connector } from "../resolver/connector.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { type AgentOptions, MemberAgent } from "./members.ts";
import { SocketStream } from "./socket-stream.ts";

const TIMEOUT_MS = 1000;

// Every release answers it without asking another member, and without authentication.
const PATH = "/version";

/** Calls `done` once, with an error if there is no answer. The function returned aborts the probe. */
export function probeMember(
  dialer: Pick<Connector, "dial">,
  clock: Clock,
  endpoint: Endpoint,
  done: (error: Error | undefined) => void,
): () => void {
  let close = () => {};
  const abortDial = dialer.dial(endpoint, {
    connected: (socket) => {
      const connection = new SocketStream(clock, socket, { received: () => {}, closed: () => {} });
      close = () => connection.abort();
      ask(connection, clock, endpoint, (error) => {
        connection.abort();
        done(error);
      });
    },
    failed: done,
  });
  return () => {
    abortDial();
    close();
  };
}

function ask(
  connection: SocketStream,
  clock: Clock,
  { label }: Endpoint,
  done: (error: Error | undefined) => void,
): void {
  let isDone = false;
  const settle = (error: Error | undefined) => {
    if (isDone) return;
    isDone = true;
    cancelTimer();
    done(error);
  };
  const cancelTimer = clock.after(TIMEOUT_MS, () =>
    settle(new Error(`no answer to GET ${PATH} within a second`)),
  );
  const options: AgentOptions = {
    agent: new MemberAgent(false),
    dialled: connection,
    path: PATH,
    setHost: false,
    headers: ["Host", label, "Connection", "close"],
  };
  const request = http.request(options);
  request.on("response", () => settle(undefined));
  request.on("error", settle);
  request.on("close", () => settle(new Error("connection closed")));
  request.end();
}
