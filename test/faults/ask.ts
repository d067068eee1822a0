// One request on one new connection through a gateway, as a client without
// patience and without retries: no pool, no second attempt, a limit of its own.

/** A client that has not its whole answer by then gives up. */
export const PATIENCE_MS = 10_000;

export interface Outcome {
  /** Undefined for success; else `refused`, `reset`, `cut`, `late`, or `etcd N` for an answer that is no 200. */
  readonly failure: string | undefined;
  readonly body: any;
  /** On performance.now()'s clock, as `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
}

const NAMES: Readonly<Record<string, string>> = { ECONNREFUSED: "refused", ECONNRESET: "reset" };

/** Never rejects. */
export async function ask(port: number, path: string, body: object): Promise<Outcome> {
  const startedAt = performance.now();
  let result: { status: number; body: any } | undefined;
  let failure: string | undefined;
  try {
    result = answerIn(await exchange(port, requestFor(path, body)));
    if (result.status !== 200) failure = `etcd ${result.status}`;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    failure = NAMES[code ?? ""] ?? code ?? message;
  }
  return { failure, body: result?.body, startedAt, endedAt: performance.now() };
}

/** HTTP/1.0, so that an answer is what comes until the end, without chunks. */
export function requestFor(path: string, body: object, version = "1.0"): Buffer {
  const text = JSON.stringify(body);
  const head = [`POST ${path} HTTP/${version}`, "Host: etcd", `Content-Length: ${text.length}`];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${text}`);
}

/** All that comes back until the end. Rejects with a `code` if the end is not a clean one. */
function exchange(port: number, request: Buffer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let unsent = request;
  let socket: Bun.Socket | undefined;
  let isOver = false;
  const fail = (code: string) => reject(Object.assign(new Error(code), { code }));
  const timer = setTimeout(() => {
    fail("late");
    isOver = true;
    socket?.terminate();
  }, PATIENCE_MS);
  const send = (to: Bun.Socket) => {
    const written = to.write(unsent);
    if (written < 0) fail("ECONNRESET");
    else unsent = unsent.subarray(written);
  };
  const connected = Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      open(opened) {
        socket = opened;
        // It could not be aborted while it was connecting.
        if (isOver) opened.terminate();
        else send(opened);
      },
      drain(opened) {
        if (unsent.length > 0) send(opened);
      },
      data(_, chunk) {
        chunks.push(Buffer.from(chunk));
      },
      end(opened) {
        opened.shutdown();
      },
      close(_, error) {
        if (error !== undefined && error !== null) reject(error);
        else resolve(Buffer.concat(chunks).toString());
      },
    },
  });
  connected.catch(reject);
  return promise.finally(() => clearTimeout(timer));
}

/** Throws `cut` for anything that is not whole. */
function answerIn(text: string): { status: number; body: any } {
  const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1]);
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  try {
    if (status > 0) return { status, body: JSON.parse(body) };
  } catch {
    // Not JSON: a part of it.
  }
  throw Object.assign(new Error("cut"), { code: "cut" });
}
