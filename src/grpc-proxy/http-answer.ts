// An answer to an HTTP request that is not gRPC.

/** An answer to a request. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const TEXT = "text/plain; charset=utf-8";

/** Returns an answer of plain text. */
export const textAnswer = (status: number, body: string): HttpAnswer => ({
  status,
  contentType: TEXT,
  body,
});

const encoded = new WeakMap<HttpAnswer, Uint8Array>();

/** Returns the bytes of an answer's body, which all its receivers share. */
export function bodyBytes(answer: HttpAnswer): Uint8Array {
  let bytes = encoded.get(answer);
  if (bytes === undefined) encoded.set(answer, (bytes = new TextEncoder().encode(answer.body)));
  return bytes;
}
