// The headers that pass the proxy in each direction, as flat lists of names and values, in
// their order and case. It knows no socket.

// RFC 9110, section 7.6.1, and what clients send to proxies besides.
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "trailers",
  "transfer-encoding",
  "upgrade",
]);

// `Connection` may not name these: without them the request would be another one.
const NEVER_DROPPED: ReadonlySet<string> = new Set(["host", "content-length", "x-forwarded-for"]);

/** Names this process to itself, so that a loop through other proxies is found. */
export const HOP_HEADER = "X-Etcd-Gateway-Hop";

const FORWARDED_FOR = "x-forwarded-for";
const EXPECT = "expect";

export type RawHeaders = readonly string[];

/** How the body of a request is sent on. */
export type Framing = "none" | "chunked" | { readonly length: number };

export interface ForwardedRequest {
  /** The address of the client; undefined if its connection was lost. */
  readonly client: string | undefined;
  /** Of this process. */
  readonly hopId: string;
  readonly framing: Framing;
  /** Whether the member should close the connection afterwards. */
  readonly isLast: boolean;
}

/** Returns the values of a header, in order. `name` is in lower case. */
export function valuesOf(headers: RawHeaders, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2)
    if (headers[i]!.toLowerCase() === name) values.push(headers[i + 1]!);
  return values;
}

/** Returns the headers of a request as a member gets them. `Host` is unchanged. */
export function requestHeaders(headers: RawHeaders, request: ForwardedRequest): string[] {
  const { client, hopId, framing, isLast } = request;
  const kept: string[] = [];
  const forwardedFor: string[] = [];
  const dropped = namedByConnection(headers);
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase();
    if (name === FORWARDED_FOR) forwardedFor.push(headers[i + 1]!);
    else if (name !== "content-length" && name !== EXPECT && !isDropped(name, dropped))
      kept.push(headers[i]!, headers[i + 1]!);
  }

  if (client !== undefined) forwardedFor.push(client);
  if (forwardedFor.length > 0) kept.push("X-Forwarded-For", forwardedFor.join(", "));
  kept.push(HOP_HEADER, hopId);
  if (framing === "chunked") kept.push("Transfer-Encoding", "chunked");
  else if (framing !== "none") kept.push("Content-Length", String(framing.length));
  kept.push("Connection", isLast ? "close" : "keep-alive");
  return kept;
}

/** Returns the headers of an answer as a client gets them. */
export function responseHeaders(headers: RawHeaders, isLast: boolean): string[] {
  const kept: string[] = [];
  const dropped = namedByConnection(headers);
  for (let i = 0; i < headers.length; i += 2)
    if (!isDropped(headers[i]!.toLowerCase(), dropped)) kept.push(headers[i]!, headers[i + 1]!);
  if (isLast) kept.push("Connection", "close");
  return kept;
}

function isDropped(name: string, named: ReadonlySet<string> | undefined): boolean {
  return HOP_BY_HOP.has(name) || named?.has(name) === true;
}

/** Returns the names that `Connection` lists; undefined if there are none besides its own words. */
function namedByConnection(headers: RawHeaders): ReadonlySet<string> | undefined {
  let names: Set<string> | undefined;
  for (const value of valuesOf(headers, "connection")) {
    for (const part of value.split(",")) {
      const name = part.trim().toLowerCase();
      if (name === "close" || name === "keep-alive" || NEVER_DROPPED.has(name)) continue;
      names ??= new Set();
      names.add(name);
    }
  }
  return names;
}
