// A stand-in for a member that misbehaves by path: it breaks off, hangs, cuts answers, or
// echoes the head it got. Bytes on a socket, since an HTTP library would correct them.
import net from "node:net";

export interface ScriptedRequest {
  /** The request line and the headers. */
  readonly head: string;
  readonly socket: net.Socket;
  /** Bytes of the body so far. */
  bodyBytes: number;
  /** Whether the connection has closed since. */
  isClosed: boolean;
}

type Script = (request: ScriptedRequest) => void;

const answer = (head: string, body = "") => `HTTP/1.1 ${head}\r\n\r\n${body}`;
const whole = (body: string) => answer(`200 OK\r\nContent-Length: ${body.length}`, body);

const SCRIPTS: Readonly<Record<string, Script>> = {
  "/echo": ({ socket, head }) => socket.write(whole(head)),
  "/close": ({ socket }) => socket.destroy(),
  "/reset": ({ socket }) => socket.resetAndDestroy(),
  "/hang": () => {},
  "/slow-upload": ({ socket }) => socket.pause(),
  "/garbage": ({ socket }) => socket.end("not HTTP\r\n\r\n"),
  "/switch": ({ socket }) =>
    socket.write(answer("101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade")),
  "/continue": ({ socket }) => socket.write(answer("103 Early Hints") + whole("late")),
  "/cut-length": ({ socket }) => socket.end(answer("200 OK\r\nContent-Length: 100", "short")),
  "/cut-chunk": ({ socket }) =>
    socket.end(answer("200 OK\r\nTransfer-Encoding: chunked", "5\r\nshort\r\n")),
  "/until-close": ({ socket }) => socket.end(answer("200 OK", "until the end")),
  "/head-only": ({ socket }) =>
    socket.write(answer("200 OK\r\nTransfer-Encoding: chunked\r\nX-Early: yes")),
  "/two-cookies": ({ socket }) =>
    socket.write(
      answer("200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nKeep-Alive: x\r\nContent-Length: 0"),
    ),
};

export class ScriptedMember {
  readonly requests: ScriptedRequest[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(server: net.Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#accept(socket));
  }

  static async start(): Promise<ScriptedMember> {
    const server = net.createServer();
    const member = new ScriptedMember(server);
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return member;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  /** The requests so far whose line begins so. */
  requestsOf(line: string): ScriptedRequest[] {
    return this.requests.filter(({ head }) => head.startsWith(line));
  }

  get connections(): number {
    return this.#sockets.size;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: net.Socket): void {
    this.#sockets.add(socket);
    let head = "";
    let current: ScriptedRequest | undefined;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#sockets.delete(socket);
      for (const request of this.requests) if (request.socket === socket) request.isClosed = true;
    });
    socket.on("data", (chunk) => {
      if (current !== undefined && !/^(GET|HEAD)/.test(current.head)) {
        current.bodyBytes += chunk.length;
        return;
      }
      head += chunk.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      current = {
        head: head.slice(0, end),
        socket,
        bodyBytes: head.length - end - 4,
        isClosed: false,
      };
      head = "";
      this.requests.push(current);
      // A query may name the script of a path that the proxy must know.
      const target = current.head.split(" ")[1]!;
      const path = /[?&]as=([^&]*)/.exec(target)?.[1] ?? target.replace(/\?.*/, "");
      (SCRIPTS[path] ?? SCRIPTS["/echo"])!(current);
    });
  }
}
