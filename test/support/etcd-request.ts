// One HTTP request on one new TCP connection, without pool, retry or proxy, so that a
// test sees exactly how the connection ended.

export interface HttpAnswer {
  readonly status: number;
  /** Head and body as received. */
  readonly text: string;
}

/** Sends a request. Rejects with a `code` if the connection fails or ends before the status line. */
export function requestOnce(
  port: number,
  { method = "GET", path, body = "" }: { method?: string; path: string; body?: string },
): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  let text = "";
  const connected = Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        const length = Buffer.byteLength(body);
        const written = socket.write(
          `${method} ${path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n${body}`,
        );
        // A reset before the first byte: `close` does not receive an error then.
        if (written < 0) reject(failure("ECONNRESET", "reset at once"));
      },
      data(_, chunk) {
        text += chunk;
      },
      end(socket) {
        socket.shutdown();
      },
      close(_, error) {
        const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
        if (error !== undefined && error !== null) reject(error);
        else if (status === undefined)
          reject(failure("NOANSWER", `ended without an answer: "${text}"`));
        else resolve({ status: Number(status), text });
      },
    },
  });
  connected.catch(reject);
  return promise;
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
