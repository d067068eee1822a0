// Servers that a TLS handshake is tried on: sound ones, and those that must fail.
import net from "node:net";
import tls from "node:tls";
import { readFileSync } from "node:fs";
import type { KeyPair } from "./tls-certificates.ts";

export interface TlsServerOptions {
  /** Who must have signed the client's certificate, in PEM; undefined: none is asked for. */
  readonly clientCa?: string;
  readonly host?: string;
  readonly port?: number;
  readonly maxVersion?: "TLSv1.2";
}

/** Greets every connection that was made with its own address, in TLS. */
export class TlsServer {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  /** Connections so far, with and without a handshake. */
  connections = 0;
  /** Handshakes that both sides completed; a client that must show a certificate has shown a good one. */
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

  /** Speaks HTTP, not TLS. */
  static plaintext(options: TlsServerOptions = {}): Promise<TlsServer> {
    const server = net.createServer((socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    return TlsServer.#listen(server, options);
  }

  /** Accepts, and says nothing. */
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
