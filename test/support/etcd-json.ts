// etcd's JSON gateway, as an application without a gRPC library uses it: keys
// and values travel in base64, 64-bit numbers as text.

/** An answer; its fields are whatever etcd sends. */
export interface JsonAnswer {
  readonly status: number;
  readonly body: any;
}

/** Posts on a connection of its own, so that the gateway chooses an endpoint for each call. */
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

/** Yields one object a line of an answer that does not end; the signal ends it. */
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
