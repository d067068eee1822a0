// The part of node:http that parses requests. It listens nowhere: connections are handed
// to it.
import http from "node:http";
import type { Duplex } from "node:stream";

export interface HttpServerListener {
  request(request: http.IncomingMessage, response: http.ServerResponse): void;
  /** A client sent something other than a request. Returns what it gets; nothing if it has its last answer. */
  malformed(stream: Duplex, fault: string): "answer" | "reset" | "nothing";
}

// Of a request's head. Go's limit is 1 MiB, for cookies that no client of etcd has.
const MAX_HEAD_BYTES = 64 * 1024;

const STATUS_LINES: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
};

/** Creates the server. Each connection is given to it by its event `connection`. */
export function createHttpServer(listener: HttpServerListener): http.Server {
  const server = http.createServer({
    maxHeaderSize: MAX_HEAD_BYTES,
    insecureHTTPParser: false,
    keepAliveTimeout: 0,
    requestTimeout: 0,
    headersTimeout: 0,
  });
  // Otherwise headers beyond the 2000th would be left out.
  server.maxHeadersCount = 0;
  server.timeout = 0;
  server.on("request", (request, response) => listener.request(request, response));
  server.on("clientError", (error: Error & { code?: string }, socket: Duplex) => {
    const effect = listener.malformed(socket, error.code ?? error.message);
    if (effect === "nothing") return;
    if (effect === "reset" || !socket.writable || error.code === "ECONNRESET") {
      socket.destroy(error);
      return;
    }
    const status = STATUS_LINES[error.code ?? ""] ?? "400 Bad Request";
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
      socket.destroy(),
    );
  });
  return server;
}
