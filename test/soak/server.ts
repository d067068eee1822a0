// One server process of the soak. It follows the instructions in each request,
// checks each byte, and reports wrong bytes and unexpected ends to its parent.
// Arguments: its number, its address, the seed.
import {
  type Command,
  decodeRequest,
  encodeReplyHead,
  type Report,
  REQUEST_HEAD_BYTES,
  type Request,
} from "./protocol.ts";
import { streamStart } from "./seeded.ts";
import { handlers, StreamEnd } from "./stream-end.ts";

const [server, seed] = [Number(process.argv[2]), Number(process.argv[4])];
const [hostname, port] = process.argv[3]!.split(":") as [string, string];

const send = (report: Report) => void process.send!(report);

class ServerEnd extends StreamEnd {
  #request: Request | undefined;
  /** Whether the end was checked, or is this server's own reset. */
  #isDone = false;

  constructor() {
    super(REQUEST_HEAD_BYTES);
  }

  protected takeHead(head: Uint8Array): number | undefined {
    const request = decodeRequest(head);
    if (request === undefined) {
      send({ kind: "wrong", number: 0, what: `head ${Buffer.from(head).toString("hex")}` });
      return undefined;
    }

    this.#request = request;
    const { number, stallMs } = request;
    this.begin(encodeReplyHead({ server, number }), streamStart(seed, number, "reply"));
    if (stallMs > 0) this.#stopReading(stallMs);
    return streamStart(seed, number, "request");
  }

  protected changed(): void {
    if (this.isClosed) {
      if (!this.#isDone) this.#checkEnd();
      this.#isDone = true;
      return;
    }

    const request = this.#request;
    if (request === undefined) {
      if (this.outcome !== undefined) this.shutdown();
      return;
    }

    this.sendTo(this.#owedBytes(request));
    if (request.serverEnd === "by a reset" && this.sentBytes >= request.resetAtBytes) {
      this.#isDone = true;
      this.reset();
      return;
    }

    const isAll = this.isSent && this.sentBytes === request.rounds * request.replyBytes;
    if (isAll && (request.serverEnd === "after its reply" || this.outcome !== undefined))
      this.shutdown();
  }

  #owedBytes({ when, rounds, requestBytes, replyBytes }: Request): number {
    if (when === "at once") return rounds * replyBytes;
    if (when === "after the client's FIN")
      return this.outcome === undefined ? 0 : rounds * replyBytes;
    return Math.min(rounds, Math.floor(this.receivedBytes / requestBytes)) * replyBytes;
  }

  #stopReading(ms: number): void {
    this.pause();
    setTimeout(() => {
      if (!this.isClosed) this.resume();
    }, ms);
  }

  /** Reports wrong bytes, and an end that the request did not announce. */
  #checkEnd(): void {
    const { outcome, receivedBytes, wrong } = this;
    const request = this.#request;
    if (request === undefined) return; // a client that sent no request may end in any way

    const { number, rounds, requestBytes, clientEnd } = request;
    if (wrong !== undefined) send({ kind: "wrong", number, what: `request: ${wrong}` });

    const seen = `${outcome} at ${receivedBytes} of ${rounds * requestBytes} bytes of a request`;
    const isWhole = outcome === "FIN" && receivedBytes === rounds * requestBytes;
    const isUnexpected =
      (clientEnd === "by a FIN" && !isWhole) || (clientEnd === "by a reset" && outcome === "FIN");
    if (isUnexpected) send({ kind: "unexpected", number, what: `${seen} that ends ${clientEnd}` });
  }
}

let listener: Bun.TCPSocketListener<StreamEnd> | undefined;

function listen(): void {
  listener = Bun.listen<StreamEnd>({
    hostname,
    port: Number(port),
    allowHalfOpen: true,
    socket: {
      ...handlers,
      open(socket) {
        socket.data = new ServerEnd();
        socket.data.opened(socket);
      },
    },
  } as Bun.TCPSocketListenOptions<StreamEnd>);
  send({ kind: "listen" });
}

/** Refuses new connections and keeps the open ones. */
function closeListener(): void {
  listener?.stop();
  listener = undefined;
  send({ kind: "close" });
}

process.on("message", (command: Command) => {
  if (command === "close") closeListener();
  else listen();
});
process.on("disconnect", () => process.exit(0));

try {
  listen();
} catch (error) {
  send({ kind: "failed", error: String(error) });
  process.exit(1);
}
