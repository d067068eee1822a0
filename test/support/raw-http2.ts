// HTTP/2 frames by hand, for peers that misbehave or stand still as no library would. Headers
// are sent as literals, and those received are not decoded.

export const FrameType = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
};
export const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** One end of a connection. It acknowledges SETTINGS and PING and does nothing else by itself. */
export class RawHttp2 {
  /** All frames received. */
  readonly frames: Frame[] = [];
  /** Called for each frame. */
  onFrame: (frame: Frame) => void = () => {};
  readonly #socket: Bun.Socket<RawHttp2>;
  #received: Buffer = Buffer.alloc(0);
  #expectsPreface: boolean;

  constructor(socket: Bun.Socket<RawHttp2>, isServer: boolean) {
    this.#socket = socket;
    this.#expectsPreface = isServer;
    if (!isServer) socket.write(PREFACE);
    this.send(FrameType.settings, 0, 0);
  }

  /** Connects as a client. */
  static async connect(port: number): Promise<RawHttp2> {
    const socket = await Bun.connect<RawHttp2>({ hostname: "127.0.0.1", port, socket: handlers });
    return (socket.data = new RawHttp2(socket, false));
  }

  /** Sends a frame. The kernel must be able to take it: nothing is queued. */
  send(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    this.#socket.write(Buffer.concat([head, payload]));
  }

  /** Sends HEADERS; each name and value may have up to 126 bytes. */
  sendHeaders(stream: number, headers: Readonly<Record<string, string>>, flags = 0): void {
    const literals = Object.entries(headers).map(([name, value]) =>
      Buffer.from(
        `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`,
      ),
    );
    this.send(FrameType.headers, flags | END_HEADERS, stream, Buffer.concat(literals));
  }

  /** Sends the headers of a gRPC call as stream 1. */
  startCall(path: string): void {
    this.sendHeaders(1, {
      ...{ ":method": "POST", ":scheme": "http", ":path": path, ":authority": "etcd" },
      ...{ "content-type": "application/grpc", te: "trailers" },
    });
  }

  reset(stream: number, code: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(code);
    this.send(FrameType.reset, 0, stream, payload);
  }

  /** Sends WINDOW_UPDATE; stream 0 is the connection. */
  grant(stream: number, bytes: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    this.send(FrameType.windowUpdate, 0, stream, payload);
  }

  close(): void {
    this.#socket.terminate();
  }

  take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#expectsPreface) {
      if (this.#received.length < PREFACE.length) return;
      this.#received = this.#received.subarray(PREFACE.length);
      this.#expectsPreface = false;
    }
    while (this.#received.length >= 9) {
      const end = 9 + this.#received.readUIntBE(0, 3);
      if (this.#received.length < end) return;
      const [type, flags] = [this.#received[3]!, this.#received[4]!];
      const stream = this.#received.readUInt32BE(5);
      const frame = { type, flags, stream, payload: this.#received.subarray(9, end) };
      this.#received = this.#received.subarray(end);
      this.#answer(frame);
      this.frames.push(frame);
      this.onFrame(frame);
    }
  }

  #answer({ type, flags, payload }: Frame): void {
    if ((flags & ACK) !== 0) return;
    if (type === FrameType.settings) this.send(type, ACK, 0);
    if (type === FrameType.ping) this.send(type, ACK, 0, payload);
  }
}

/** Accepts connections on a free port of 127.0.0.1. */
export class RawHttp2Server {
  readonly connections: RawHttp2[] = [];
  /** Called for each frame of each connection. */
  onFrame: (frame: Frame, connection: RawHttp2) => void = () => {};
  readonly #listener: Bun.TCPSocketListener<RawHttp2>;

  constructor() {
    const open = (socket: Bun.Socket<RawHttp2>) => {
      const connection = new RawHttp2(socket, true);
      socket.data = connection;
      connection.onFrame = (frame) => this.onFrame(frame, connection);
      this.connections.push(connection);
    };
    this.#listener = Bun.listen<RawHttp2>({
      hostname: "127.0.0.1",
      port: 0,
      socket: { ...handlers, open },
    });
  }

  get address(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  close(): void {
    this.#listener.stop(true);
  }
}

const handlers: Bun.SocketHandler<RawHttp2> = {
  data: (socket, chunk) => socket.data.take(chunk),
};
