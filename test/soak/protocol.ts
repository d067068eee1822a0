// What the soak's clients and servers say to each other: a request head that
// tells the server its part, and a reply head that tells the client who serves it.

/** When the server sends what it owes. */
export const WHEN = ["at once", "after the request", "after the client's FIN"] as const;
/** How the server ends its sending, or the connection. */
export const SERVER_END = ["after the client", "after its reply", "by a reset"] as const;
/** What the server must see of the client's end, if it sees it. */
export const CLIENT_END = ["by a FIN", "by a reset", "in any way"] as const;

export interface Request {
  /** Of the conversation. */
  readonly number: number;
  /** Each round asks for as many bytes and is answered with as many. */
  readonly rounds: number;
  readonly requestBytes: number;
  readonly replyBytes: number;
  readonly when: (typeof WHEN)[number];
  readonly serverEnd: (typeof SERVER_END)[number];
  readonly clientEnd: (typeof CLIENT_END)[number];
  /** How long the server does not read, once it has read this. */
  readonly deafMs: number;
  /** With "by a reset": behind so many bytes of the reply. */
  readonly resetAtBytes: number;
}

export const REQUEST_HEAD_BYTES = 40;
export const REPLY_HEAD_BYTES = 12;
const MAGIC = 0x50a45eed;

export function encodeRequest(request: Request): Uint8Array {
  const { number, rounds, requestBytes, replyBytes, deafMs, resetAtBytes } = request;
  const { when, serverEnd, clientEnd } = request;
  const head = new Uint32Array(REQUEST_HEAD_BYTES / 4);
  head.set([MAGIC, number, rounds, requestBytes, replyBytes, deafMs, resetAtBytes]);
  head.set([WHEN.indexOf(when), SERVER_END.indexOf(serverEnd), CLIENT_END.indexOf(clientEnd)], 7);
  return new Uint8Array(head.buffer);
}

/** Undefined if these are not bytes that a client of ours sent. */
export function decodeRequest(bytes: Uint8Array): Request | undefined {
  const words = new Uint32Array(new Uint8Array(bytes).buffer);
  const [magic, number, rounds, requestBytes, replyBytes, deafMs, resetAtBytes] =
    words as unknown as number[];
  const when = WHEN[words[7]!];
  const serverEnd = SERVER_END[words[8]!];
  const clientEnd = CLIENT_END[words[9]!];
  if (magic !== MAGIC || !when || !serverEnd || !clientEnd) return undefined;
  return {
    ...{ number: number!, rounds: rounds!, requestBytes: requestBytes!, replyBytes: replyBytes! },
    ...{ deafMs: deafMs!, resetAtBytes: resetAtBytes!, when, serverEnd, clientEnd },
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

/** From the parent to a server's process. */
export type Command = "shut" | "open";

/** From a server's process to the parent. `wrong`: bytes; `odd`: an end that the request did not announce. */
export type Report =
  | { readonly kind: "open" | "shut" }
  | { readonly kind: "failed"; readonly error: string }
  | { readonly kind: "wrong" | "odd"; readonly number: number; readonly what: string };
