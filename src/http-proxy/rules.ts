// What a request is, by its method and its decoded path: a read, a write, a transaction or
// unknown. One table for the read-only mode and for repeating requests. It reads no body.

/** What a request does, as far as its method and path say. */
export type Access =
  | "read"
  /** A JSON transaction: its body says whether it only reads. */
  | "txn"
  /** Changes something, or reads what outsiders must not see, or is unknown. */
  | "other";

export interface RequestRule {
  /** The path without percent-encoding; undefined if it cannot be decoded, or has `.` or empty segments. */
  readonly path: string | undefined;
  readonly access: Access;
  /** Whether it may be sent again, since it changes nothing and its whole request can be kept. */
  readonly isSafe: boolean;
  /** Whether it waits for events: its answer may take forever, and its body may be endless. */
  readonly isWait: boolean;
  /** Whether it is one of the JSON gateway, so that a refusal has a JSON body. */
  readonly isJson: boolean;
}

// Paths after /v3/, /v3beta/ or /v3alpha/.
const JSON_READS: ReadonlySet<string> = new Set([
  "kv/range",
  "lease/timetolive",
  "lease/leases",
  "kv/lease/timetolive",
  "kv/lease/leases",
  "cluster/member/list",
  "maintenance/status",
  "maintenance/hash",
  "maintenance/hashkv",
  "auth/authenticate",
  "auth/status",
  "election/leader",
]);
const JSON_WAITS: ReadonlySet<string> = new Set(["watch", "election/observe"]);
// Streams in both directions, or answers that take as long as etcd likes.
const JSON_STREAMS: ReadonlySet<string> = new Set([
  "lease/keepalive",
  "maintenance/snapshot",
  "lock/lock",
  "election/campaign",
]);
const JSON_TXN = "kv/txn";

/** What outsiders may read: v2's data, and what a monitor asks. `/v2/auth` and `/debug` are not there. */
const OPEN_PATHS: ReadonlySet<string> = new Set([
  "/v2/keys",
  "/v2/machines",
  "/v2/members",
  "/version",
  "/health",
  "/livez",
  "/readyz",
  "/metrics",
]);
const OPEN_FOLDERS = ["/v2/keys/", "/v2/stats/", "/v2/members/", "/livez/", "/readyz/"];

const READ_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

// Values that Go's strconv.ParseBool takes for true.
const TRUE = /^(1|t|T|true|TRUE|True)$/;

/** Returns the rule of a request. `target` is in origin form: a path and perhaps a query. */
export function ruleOf(method: string, target: string): RequestRule {
  const at = target.indexOf("?");
  const path = decodePath(at < 0 ? target : target.slice(0, at));
  const json = path === undefined ? undefined : /^\/v3(?:alpha|beta)?\/(.*)$/s.exec(path)?.[1];
  if (json !== undefined) return jsonRule(method, path!, json);

  const isRead = READ_METHODS.has(method);
  const isOpen = path !== undefined && isRead && isOpenPath(path);
  const isWait = isRead && at >= 0 && waits(target.slice(at + 1));
  const isJson = target.startsWith("/v3");
  return { path, access: isOpen ? "read" : "other", isSafe: isRead && !isWait, isWait, isJson };
}

function jsonRule(method: string, path: string, name: string): RequestRule {
  const base = { path, isJson: true };
  // A browser asks so before it sends the request itself.
  if (method === "OPTIONS") return { ...base, access: "read", isSafe: true, isWait: false };
  const isPost = method === "POST";
  if (isPost && JSON_WAITS.has(name))
    return { ...base, access: "read", isSafe: false, isWait: true };
  if (isPost && JSON_READS.has(name))
    return { ...base, access: "read", isSafe: true, isWait: false };
  const access = isPost && name === JSON_TXN ? "txn" : "other";
  return { ...base, access, isSafe: false, isWait: JSON_STREAMS.has(name) };
}

function isOpenPath(path: string): boolean {
  return OPEN_PATHS.has(path) || OPEN_FOLDERS.some((folder) => path.startsWith(folder));
}

/** Whether a query of v2 waits for an event. */
function waits(query: string): boolean {
  if (!query.includes("wait") && !query.includes("%") && !query.includes("stream")) return false;
  const values = new URLSearchParams(query);
  return TRUE.test(values.get("wait") ?? "") || TRUE.test(values.get("stream") ?? "");
}

/** Decodes a path as a member does; undefined if two servers could read it differently. */
function decodePath(raw: string): string | undefined {
  let path: string;
  try {
    path = raw.includes("%") ? decodeURIComponent(raw) : raw;
  } catch {
    return undefined;
  }
  const [first, ...segments] = path.split("/");
  // The last may be empty: `/v2/keys/`.
  const isPlain = (segment: string, i: number) =>
    segment === "" ? i === segments.length - 1 : segment !== "." && segment !== "..";
  if (first !== "" || path.includes("\0") || !segments.every(isPlain)) return undefined;
  return path;
}
