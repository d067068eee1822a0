// Sends one request on one new connection through a gateway, as the least tolerant
// client would: no pool, no retry, a timeout of its own.

/** After this long without the complete response, the client gives up. */
export const CLIENT_TIMEOUT_MS = 10_000;

export interface Outcome {
  /**
   * Undefined for success; else `refused`, `reset`, `incomplete`, `timeout`, another
   * errno's name, or `etcd N` for a response with a status other than 200.
   */
  readonly failure: string | undefined;
  readonly body: any;
  /** On performance.now()'s clock, as is `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
}

const NAMES: Readonly<Record<string, string>> = { ECONNREFUSED: "refused", ECONNRESET: "reset" };

/** Posts `body` to etcd's JSON gateway. Never rejects. */
export async function post(port: number, path: string, body: object): Promise<Outcome> {
  const startedAt = performance.now();
  let response: { status: number; body: any } | undefined;
  let failure: string | undefined;

  try {
    response = parseResponse(await exchange(port, requestFor(path, body)));
    if (response.status !== 200) failure = `etcd ${response.status}`;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    failure = NAMES[code ?? ""] ?? code ?? message;
  }
  return { failure, body: response?.body, startedAt, endedAt: performance.now() };
}

/** Returns a request; with HTTP/1.0, the response has no chunks and lasts until the FIN. */
export function requestFor(path: string, body: object, version = "1.0"): Buffer {
  const text = JSON.stringify(body);
  const head = [`POST ${path} HTTP/${version}`, "Host: etcd", `Content-Length: ${text.length}`];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${text}`);
}

/** Resolves with everything received until the FIN; rejects with a `code` after any other end. */
function exchange(port: number, request: Buffer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let unsent = request;
  let socket: Bun.Socket<undefined> | undefined;
  let isTimedOut = false;

  const timer = setTimeout(() => {
    reject(withCode("timeout"));
    isTimedOut = true;
    socket?.terminate();
  }, CLIENT_TIMEOUT_MS);
  const send = (to: Bun.Socket<undefined>) => {
    const written = to.write(unsent);
    if (written < 0) reject(withCode("ECONNRESET"));
    else unsent = unsent.subarray(written);
  };

  const handlers: Bun.SocketHandler<undefined> = {
    open(opened) {
      socket = opened;
      // Bun cannot abort a connection attempt, so a late one is ended here.
      if (isTimedOut) opened.terminate();
      else send(opened);
    },
    drain: (opened) => void (unsent.length > 0 && send(opened)),
    data: (_, chunk) => void chunks.push(Buffer.from(chunk)),
    end: (opened) => void opened.shutdown(),
    close(_, error) {
      if (error !== undefined && error !== null) reject(error);
      else resolve(Buffer.concat(chunks).toString());
    },
  };
  const target = { hostname: "127.0.0.1", port, allowHalfOpen: true };
  Bun.connect({ ...target, socket: handlers }).catch(reject);
  return promise.finally(() => clearTimeout(timer));
}

/** Throws an error with the code `incomplete` if `text` is not a whole response. */
function parseResponse(text: string): { status: number; body: any } {
  const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1]);
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  try {
    if (status > 0) return { status, body: JSON.parse(body) };
  } catch {
    // The JSON is truncated.
  }
  throw withCode("incomplete");
}

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}
