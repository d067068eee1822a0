// The faults that a sound DNS server does not make: an answer that is an error,
// none at all, or no DNS.

/** RFC 1035, section 4.1.1. */
const RCODES = { servfail: 2, refused: 5 } as const;

export type Fault = keyof typeof RCODES | "silent" | "garbage";

export class BrokenDns {
  readonly #socket: Bun.udp.Socket<"buffer">;
  /** Questions so far. */
  count = 0;

  private constructor(socket: Bun.udp.Socket<"buffer">) {
    this.#socket = socket;
  }

  /** A server with this fault, on the port that another has left, or on any. */
  static async start(fault: Fault, port = 0): Promise<BrokenDns> {
    let broken: BrokenDns | undefined;
    const socket = await Bun.udpSocket({
      hostname: "127.0.0.1",
      port,
      socket: {
        data(from, question, fromPort, fromAddress) {
          if (broken !== undefined) broken.count++;
          const answer = answerOf(fault, question);
          if (answer !== undefined) sendTo(from, answer, fromPort, fromAddress);
        },
        // Whoever asked may have gone before the answer; a later send tells it.
        error() {},
      },
    });
    broken = new BrokenDns(socket);
    return broken;
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.port}`;
  }

  close(): void {
    this.#socket.close();
  }
}

function sendTo(
  socket: Bun.udp.Socket<"buffer">,
  answer: Buffer,
  port: number,
  address: string,
): void {
  try {
    socket.send(answer, port, address);
  } catch {
    // ECONNREFUSED, of an earlier answer.
  }
}

function answerOf(fault: Fault, question: Buffer): Buffer | undefined {
  if (fault === "silent") return undefined;
  const answer = Buffer.from(question);
  if (fault === "garbage") return answer.subarray(0, 2).fill(0xff); // not even a header
  answer[2]! |= 0x80; // a response
  answer[3] = RCODES[fault];
  return answer;
}
