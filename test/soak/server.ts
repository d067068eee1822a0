// A server of the soak, a process of its own: does what each client's request
// says, checks each byte of it, and reports what was wrong or was not announced.
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

const report = (what: Report) => void process.send!(what);

class ServerEnd extends StreamEnd {
  #request: Request | undefined;
  #isOver = false;

  constructor() {
    super(REQUEST_HEAD_BYTES);
  }

  protected takeHead(head: Uint8Array): number | undefined {
    const request = decodeRequest(head);
    if (request === undefined) {
      report({ kind: "wrong", number: 0, what: `head ${Buffer.from(head).toString("hex")}` });
      return undefined;
    }
    this.#request = request;
    const { number, deafMs } = request;
    this.begin(encodeReplyHead({ server, number }), streamStart(seed, number, "reply"));
    if (deafMs > 0) this.#beDeaf(deafMs);
    return streamStart(seed, number, "request");
  }

  protected changed(): void {
    if (this.isClosed) {
      if (!this.#isOver) this.#judge();
      this.#isOver = true;
      return;
    }
    const request = this.#request;
    if (request === undefined) {
      if (this.outcome !== undefined) this.shutdown();
      return;
    }
    this.sendTo(this.#owedBytes(request));
    if (request.serverEnd === "by a reset" && this.sentBytes >= request.resetAtBytes) {
      this.#isOver = true;
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

  #beDeaf(ms: number): void {
    this.pause();
    setTimeout(() => {
      if (!this.isClosed) this.resume();
    }, ms);
  }

  /** The connection is gone, and not by us. */
  #judge(): void {
    const { outcome, receivedBytes, wrong } = this;
    const request = this.#request;
    if (request === undefined) return; // a client that never asked may end as it likes
    const { number, rounds, requestBytes, clientEnd } = request;
    if (wrong !== undefined) report({ kind: "wrong", number, what: `request: ${wrong}` });
    const said = `${outcome} at ${receivedBytes} of ${rounds * requestBytes} bytes of a request`;
    const isWhole = outcome === "FIN" && receivedBytes === rounds * requestBytes;
    const isOdd =
      (clientEnd === "by a FIN" && !isWhole) || (clientEnd === "by a reset" && outcome === "FIN");
    if (isOdd) report({ kind: "odd", number, what: `${said} that ends ${clientEnd}` });
  }
}

let listener: Bun.TCPSocketListener<StreamEnd> | undefined;

function open(): void {
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
  report({ kind: "open" });
}

/** New connections are refused; those that are there go on. */
function shut(): void {
  listener?.stop();
  listener = undefined;
  report({ kind: "shut" });
}

process.on("message", (command: Command) => {
  if (command === "shut") shut();
  else open();
});
process.on("disconnect", () => process.exit(0));
try {
  open();
} catch (error) {
  report({ kind: "failed", error: String(error) });
  process.exit(1);
}
