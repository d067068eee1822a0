// A client of etcd's JSON gateway. Keys and values are in base64, 64-bit numbers are
// strings.

/** A response with the body that etcd sent. */
export interface JsonAnswer {
  readonly status: number;
  readonly body: any;
}

/** Posts on a new connection, so that the gateway picks an endpoint for each call. */
export async function postJson(
  port: number,
  path: string,
  { body = {}, token }: { body?: unknown; token?: string } = {},
): Promise<JsonAnswer> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: token === undefined ? {} : { authorization: token },
    keepalive: false,
  });
  return { status: response.status, body: await response.json() };
}

/** Yields the objects of an endless response, one per line, until the signal aborts it. */
export async function* streamJson(
  port: number,
  path: string,
  { body, signal }: { body: unknown; signal: AbortSignal },
): AsyncGenerator<JsonAnswer["body"]> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    body: JSON.stringify(body),
    keepalive: false,
    signal,
  });
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body!) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

export const encode = (text: string) => Buffer.from(text).toString("base64");
export const decode = (base64: string) => Buffer.from(base64, "base64").toString();
