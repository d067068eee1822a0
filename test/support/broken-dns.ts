// A DNS server with faults that a correct one does not have: error responses, silence,
// and garbage. Forwards the questions that are not to fail to a correct server.
import type { DnsServer } from "./dns-server.ts";
import { randomFrom, seed } from "./random-input.ts";

/** RFC 1035, section 4.1.1. */
const RCODES = { empty: 0, servfail: 2, nxdomain: 3, notimp: 4, refused: 5 } as const;

/** `truncated` refers the client to TCP, where nothing listens. */
export type Fault = keyof typeof RCODES | "silent" | "garbage" | "truncated";

/**
 * One fault for all questions, or a function of the question as dnsmasq logs it,
 * `SRV _etcd-client._tcp.a.test`. Undefined forwards the question to the upstream.
 */
export type Faults = Fault | ((question: string) => Fault | undefined);

type Socket = Bun.udp.Socket<"buffer">;

/** RFC 1035, section 3.2.2; RFC 3596; RFC 2782. */
const TYPES: Readonly<Record<number, string>> = { 1: "A", 5: "CNAME", 28: "AAAA", 33: "SRV" };

export class BrokenDns {
  /** May be changed at any time. */
  faults: Faults;
  /** The questions received, such as `SRV _etcd-client._tcp.a.test`. */
  readonly questions: string[] = [];
  readonly #upstream: DnsServer | undefined;
  readonly #host: string;
  readonly #random = randomFrom(seed);
  readonly #sockets = new Set<Socket>();
  #port = 0;

  private constructor(faults: Faults, upstream: DnsServer | undefined, host: string) {
    this.faults = faults;
    this.#upstream = upstream;
    this.#host = host;
  }

  /** Starts a server with these faults, on any free port unless one is given. UDP only. */
  static async start(
    faults: Faults,
    port = 0,
    { upstream, host = "127.0.0.1" }: { upstream?: DnsServer; host?: string } = {},
  ): Promise<BrokenDns> {
    const broken = new BrokenDns(faults, upstream, host);
    const socket = await broken.#open(host, port, (message, fromPort, fromAddress) => {
      broken.#handle(message, (response) => send(socket, response, fromPort, fromAddress));
    });
    broken.#port = socket.port;
    return broken;
  }

  get address(): string {
    return `${this.#host}:${this.#port}`;
  }

  /** The number of questions so far. */
  get count(): number {
    return this.questions.length;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
    this.#sockets.clear();
  }

  #handle(message: Buffer, respond: (bytes: Buffer) => void): void {
    const { text, end } = questionOf(message);
    this.questions.push(text);
    const fault = typeof this.faults === "string" ? this.faults : this.faults(text);
    if (fault === undefined) void this.#forward(message, respond);
    else if (fault === "garbage") respond(this.#garbage(message.subarray(0, end)));
    else if (fault !== "silent") respond(responseOf(fault, message.subarray(0, end)));
  }

  async #forward(message: Buffer, respond: (bytes: Buffer) => void): Promise<void> {
    if (this.#upstream === undefined) throw new Error("this server has no upstream");
    const [host, port] = this.#upstream.address.split(":") as [string, string];
    // One socket per question, because two clients may use the same id.
    const socket = await this.#open("127.0.0.1", 0, (bytes) => {
      respond(bytes);
      this.#sockets.delete(socket);
      socket.close();
    });
    send(socket, message, Number(port), host);
  }

  async #open(
    hostname: string,
    port: number,
    onMessage: (message: Buffer, port: number, address: string) => void,
  ): Promise<Socket> {
    const socket = await Bun.udpSocket({
      hostname,
      port,
      socket: {
        data: (_, message, fromPort, fromAddress) => onMessage(message, fromPort, fromAddress),
        // A client that closed its socket before the response causes an error here.
        error() {},
      },
    });
    this.#sockets.add(socket);
    return socket;
  }

  /** Returns noise after the first 0, 2 or 12 bytes of a response to `question`, or after all. */
  #garbage(question: Buffer): Buffer {
    const kept = [0, 2, 12, question.length][this.#random(4)]!;
    const noise = Buffer.from(Array.from({ length: this.#random(300) }, () => this.#random(256)));
    const response = Buffer.concat([question.subarray(0, kept), noise]);
    if (kept < 12) return response;

    response[2]! |= 0x80; // the response bit
    response.writeUInt16BE(1 + this.#random(3), 6); // a count of records, which the noise is not
    return response;
  }
}

function send(socket: Socket, message: Buffer, port: number, address: string): void {
  try {
    socket.send(message, port, address);
  } catch {
    // ECONNREFUSED for an earlier response, or the socket has been closed.
  }
}

/** Returns the question as text, and its end; the rest, EDNS, is not part of our responses. */
function questionOf(message: Buffer): { text: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = message.readUInt16BE(at + 1);
  return { text: `${TYPES[type] ?? type} ${labels.join(".")}`, end: at + 5 };
}

function responseOf(fault: keyof typeof RCODES | "truncated", question: Buffer): Buffer {
  const response = Buffer.from(question);
  response[2]! |= 0x80; // the response bit
  response[3] = fault === "truncated" ? 0 : RCODES[fault];
  if (fault === "truncated") response[2]! |= 0x02;
  response.fill(0, 6, 12); // no records, no EDNS
  return response;
}
