// The faults that a sound DNS server does not make: an answer that is an error,
// none at all, or no DNS. What is not to fail may be left to a sound one.
import type { DnsServer } from "./dns-server.ts";
import { randomFrom, seed } from "./random-input.ts";

/** RFC 1035, section 4.1.1. */
const RCODES = { empty: 0, servfail: 2, nxdomain: 3, notimp: 4, refused: 5 } as const;

/** `truncated` says that the answer is to be had over TCP, where nobody listens. */
export type Fault = keyof typeof RCODES | "silent" | "garbage" | "truncated";

/**
 * For all questions, or for each as dnsmasq writes it: `SRV _etcd-client._tcp.a.test`.
 * Undefined: it is answered by the server behind.
 */
export type Faults = Fault | ((question: string) => Fault | undefined);

type Socket = Bun.udp.Socket<"buffer">;

/** RFC 1035, section 3.2.2; RFC 3596; RFC 2782. */
const TYPES: Readonly<Record<number, string>> = { 1: "A", 5: "CNAME", 28: "AAAA", 33: "SRV" };

export class BrokenDns {
  /** May be changed at any time. */
  faults: Faults;
  /** What it was asked: `SRV _etcd-client._tcp.a.test`. */
  readonly questions: string[] = [];
  readonly #behind: DnsServer | undefined;
  readonly #host: string;
  readonly #random = randomFrom(seed);
  readonly #sockets = new Set<Socket>();
  #port = 0;

  private constructor(faults: Faults, behind: DnsServer | undefined, host: string) {
    this.faults = faults;
    this.#behind = behind;
    this.#host = host;
  }

  /** A server with these faults, on the port that another has left, or on any. UDP only. */
  static async start(
    faults: Faults,
    port = 0,
    { behind, host = "127.0.0.1" }: { behind?: DnsServer; host?: string } = {},
  ): Promise<BrokenDns> {
    const broken = new BrokenDns(faults, behind, host);
    const socket = await broken.#open(host, port, (message, fromPort, fromAddress) => {
      broken.#take(message, (answer) => send(socket, answer, fromPort, fromAddress));
    });
    broken.#port = socket.port;
    return broken;
  }

  get address(): string {
    return `${this.#host}:${this.#port}`;
  }

  /** Questions so far. */
  get count(): number {
    return this.questions.length;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
    this.#sockets.clear();
  }

  #take(message: Buffer, answer: (bytes: Buffer) => void): void {
    const { text, end } = questionOf(message);
    this.questions.push(text);
    const fault = typeof this.faults === "string" ? this.faults : this.faults(text);
    if (fault === undefined) void this.#forward(message, answer);
    else if (fault === "garbage") answer(this.#garbage(message.subarray(0, end)));
    else if (fault !== "silent") answer(answerOf(fault, message.subarray(0, end)));
  }

  async #forward(message: Buffer, answer: (bytes: Buffer) => void): Promise<void> {
    if (this.#behind === undefined) throw new Error("no server is behind this one");
    const [host, port] = this.#behind.address.split(":") as [string, string];
    // A socket for each: two clients may have chosen the same number for their questions.
    const socket = await this.#open("127.0.0.1", 0, (bytes) => {
      answer(bytes);
      this.#sockets.delete(socket);
      socket.close();
    });
    send(socket, message, Number(port), host);
  }

  async #open(
    hostname: string,
    port: number,
    take: (message: Buffer, port: number, address: string) => void,
  ): Promise<Socket> {
    const socket = await Bun.udpSocket({
      hostname,
      port,
      socket: {
        data: (_, message, fromPort, fromAddress) => take(message, fromPort, fromAddress),
        // Whoever asked may have gone before the answer; a later send tells it.
        error() {},
      },
    });
    this.#sockets.add(socket);
    return socket;
  }

  /** Noise, mostly behind the first bytes of an answer to this question: none, 2, a header, or all. */
  #garbage(question: Buffer): Buffer {
    const kept = [0, 2, 12, question.length][this.#random(4)]!;
    const noise = Buffer.from(Array.from({ length: this.#random(300) }, () => this.#random(256)));
    const answer = Buffer.concat([question.subarray(0, kept), noise]);
    if (kept < 12) return answer;
    answer[2]! |= 0x80; // a response
    answer.writeUInt16BE(1 + this.#random(3), 6); // so many records, which the noise is not
    return answer;
  }
}

function send(socket: Socket, message: Buffer, port: number, address: string): void {
  try {
    socket.send(message, port, address);
  } catch {
    // ECONNREFUSED, of an earlier answer; or closed in the meantime.
  }
}

/** The question in words, and where it ends: behind it stands what no answer of ours repeats. */
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

function answerOf(fault: keyof typeof RCODES | "truncated", question: Buffer): Buffer {
  const answer = Buffer.from(question);
  answer[2]! |= 0x80; // a response
  answer[3] = fault === "truncated" ? 0 : RCODES[fault];
  if (fault === "truncated") answer[2]! |= 0x02;
  answer.fill(0, 6, 12); // no records, no EDNS
  return answer;
}
