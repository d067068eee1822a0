// Servers for TLS handshakes: correct ones, and ones with which a handshake must fail.
import net from "node:net";
import tls from "node:tls";
import { readFileSync } from "node:fs";
import type { KeyPair } from "./tls-certificates.ts";

export interface TlsServerOptions {
  /** PEM file of the CA for client certificates; undefined: the server does not request one. */
  readonly clientCa?: string;
  readonly host?: string;
  readonly port?: number;
  readonly maxVersion?: "TLSv1.2";
}

/** Sends its own address to every client that completes a handshake. */
export class TlsServer {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  /** The number of connections so far, with or without a handshake. */
  connections = 0;
  /** The number of completed handshakes, with a valid client certificate where one is required. */
  handshakes = 0;

  private constructor(server: net.Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
    });
  }

  static async start(pair: KeyPair, options: TlsServerOptions = {}): Promise<TlsServer> {
    const { clientCa, maxVersion } = options;
    const server = tls.createServer(
      {
        cert: readFileSync(pair.cert),
        key: readFileSync(pair.key),
        ...(clientCa !== undefined && {
          ca: readFileSync(clientCa),
          requestCert: true,
          rejectUnauthorized: true,
        }),
        ...(maxVersion !== undefined && { maxVersion }),
      },
      (socket) => {
        socket.on("error", () => {});
        socket.end(options.host ?? "127.0.0.1");
      },
    );
    server.on("tlsClientError", () => {});
    const started = await TlsServer.#listen(server, options);
    server.on("secureConnection", () => started.handshakes++);
    return started;
  }

  /** Starts a server that speaks HTTP, not TLS. */
  static plaintext(options: TlsServerOptions = {}): Promise<TlsServer> {
    const server = net.createServer((socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    return TlsServer.#listen(server, options);
  }

  /** Starts a server that accepts connections and stays silent. */
  static mute(options: TlsServerOptions = {}): Promise<TlsServer> {
    return TlsServer.#listen(net.createServer(), options);
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  static async #listen(
    server: net.Server,
    { host = "127.0.0.1", port = 0 }: TlsServerOptions,
  ): Promise<TlsServer> {
    const started = new TlsServer(server);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.on("error", reject);
    server.listen(port, host, resolve);
    await promise;
    return started;
  }
}
