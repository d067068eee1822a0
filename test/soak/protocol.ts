// The soak's protocol: a request head instructs the server, and a reply head names
// the server. Also the messages between a server's process and its parent.

/** When the server sends its reply. */
export const WHEN = ["at once", "after the request", "after the client's FIN"] as const;
/** How the server ends the connection, or its direction of it. */
export const SERVER_END = ["after the client", "after its reply", "by a reset"] as const;
/** How the client ends. The server reports any other end. */
export const CLIENT_END = ["by a FIN", "by a reset", "in any way"] as const;

export interface Request {
  /** The conversation's number. */
  readonly number: number;
  /** Rounds of `requestBytes` and `replyBytes`. */
  readonly rounds: number;
  readonly requestBytes: number;
  readonly replyBytes: number;
  readonly when: (typeof WHEN)[number];
  readonly serverEnd: (typeof SERVER_END)[number];
  readonly clientEnd: (typeof CLIENT_END)[number];
  /** How long the server stops reading after it has read this head. */
  readonly stallMs: number;
  /** For "by a reset": bytes of the reply after which the server resets. */
  readonly resetAtBytes: number;
}

export const REQUEST_HEAD_BYTES = 40;
export const REPLY_HEAD_BYTES = 12;
const MAGIC = 0x50a45eed;

export function encodeRequest(request: Request): Uint8Array {
  const { number, rounds, requestBytes, replyBytes, stallMs, resetAtBytes } = request;
  const { when, serverEnd, clientEnd } = request;
  const head = new Uint32Array(REQUEST_HEAD_BYTES / 4);
  head.set([MAGIC, number, rounds, requestBytes, replyBytes, stallMs, resetAtBytes]);
  head.set([WHEN.indexOf(when), SERVER_END.indexOf(serverEnd), CLIENT_END.indexOf(clientEnd)], 7);
  return new Uint8Array(head.buffer);
}

/** Decodes a request head; undefined if no client of the soak sent these bytes. */
export function decodeRequest(bytes: Uint8Array): Request | undefined {
  const words = new Uint32Array(new Uint8Array(bytes).buffer);
  const [magic, number, rounds, requestBytes, replyBytes, stallMs, resetAtBytes] =
    words as unknown as number[];
  const when = WHEN[words[7]!];
  const serverEnd = SERVER_END[words[8]!];
  const clientEnd = CLIENT_END[words[9]!];

  if (magic !== MAGIC || !when || !serverEnd || !clientEnd) return undefined;
  return {
    ...{ number: number!, rounds: rounds!, requestBytes: requestBytes!, replyBytes: replyBytes! },
    ...{ stallMs: stallMs!, resetAtBytes: resetAtBytes!, when, serverEnd, clientEnd },
  };
}

export interface ReplyHead {
  readonly server: number;
  readonly number: number;
}

export function encodeReplyHead({ server, number }: ReplyHead): Uint8Array {
  return new Uint8Array(Uint32Array.of(MAGIC, server, number).buffer);
}

export function decodeReplyHead(bytes: Uint8Array): ReplyHead | undefined {
  const [magic, server, number] = new Uint32Array(new Uint8Array(bytes).buffer);
  return magic === MAGIC ? { server: server!, number: number! } : undefined;
}

/** From the parent to a server's process. `close`: stop listening, but keep the connections. */
export type Command = "listen" | "close";

/** From a server's process to the parent. `unexpected`: an end that the request did not announce. */
export type Report =
  | { readonly kind: Command }
  | { readonly kind: "failed"; readonly error: string }
  | { readonly kind: "wrong" | "unexpected"; readonly number: number; readonly what: string };
