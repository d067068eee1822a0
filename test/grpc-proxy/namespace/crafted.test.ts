// Messages that no client library sends: fields twice, members of a oneof twice, fields of
// the wrong type, nesting without end. None lets a key escape the namespace.
import { describe, expect, test } from "bun:test";
import { Rejection } from "../../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../../src/grpc-proxy/namespace/namespace.ts";
import { bytesOf, field, message, tag, varint, varintField } from "../../support/wire-format.ts";

const KV = "/etcdserverpb.KV";
const WATCH = "/etcdserverpb.Watch/Watch";
const namespace = new Namespace(bytesOf("p/"), { strict: true });

const request = (path: string, bytes: Uint8Array) =>
  Buffer.from(namespace.rewriterOf(path)!.request!(bytes)).toString("hex");
const response = (path: string, bytes: Uint8Array) =>
  Buffer.from(namespace.rewriterOf(path)!.response!(bytes)).toString("hex");
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const UNMARSHALLING = "grpc: error unmarshalling request";
const RECEIVED = "grpc: failed to unmarshal the received message";

/** Returns the code and the message of the rejection. */
function rejection(attempt: () => unknown): [code: number, text: string] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Rejection) return [error.code, error.message];
    throw error;
  }
  throw new Error("not rejected");
}

describe("of a field that occurs twice, the last value counts", () => {
  const rows: [what: string, path: string, client: Uint8Array, etcd: Uint8Array][] = [
    ["keys", "Range", message(field(1, "a"), field(1, "b")), field(1, "p/b")],
    [
      "keys apart",
      "Put",
      message(field(1, "a"), field(2, "v"), field(1, "b")),
      message(field(2, "v"), field(1, "p/b")),
    ],
    ["three keys", "Put", message(field(1, "a"), field(1, "b"), field(1, "c")), field(1, "p/c")],
    ["an empty key first", "Put", message(field(1, ""), field(1, "b")), field(1, "p/b")],
    [
      "range ends",
      "DeleteRange",
      message(field(1, "a"), field(2, "\0"), field(2, "c")),
      message(field(1, "p/a"), field(2, "p/c")),
    ],
    [
      "a range end that becomes empty",
      "DeleteRange",
      message(field(1, "a"), field(2, "\0"), field(2, "")),
      field(1, "p/a"),
    ],
    [
      "a range end that becomes all",
      "Range",
      message(field(1, "a"), field(2, "b"), field(2, "\0")),
      message(field(1, "p/a"), field(2, "p0")),
    ],
    [
      "a key in a comparison",
      "Txn",
      field(1, field(3, "a"), field(3, "b"), field(64, "c"), field(64, "\0")),
      field(1, field(3, "p/b"), field(64, "p0")),
    ],
    [
      "a key that becomes empty in a transaction",
      "Txn",
      field(2, field(2, field(1, "a"), field(1, ""))),
      field(2, field(2, field(1, "p/"))),
    ],
    [
      "unknown fields twice, which stay",
      "Put",
      message(field(1, "a"), field(50, "x"), field(50, "y"), field(1, "b")),
      message(field(50, "x"), field(50, "y"), field(1, "p/b")),
    ],
  ];
  test.each(rows)("%s", (_, name, client, etcd) => {
    expect(request(`${KV}/${name}`, client)).toBe(hex(etcd));
  });

  test("the next request without a key is returned itself, so nothing is merged again", () => {
    const watch = namespace.rewriterOf(WATCH)!.request!;
    const progress = field(3);
    watch(message(progress, progress));
    expect(watch(progress)).toBe(progress);
  });

  test("an empty key at the end is refused, even after another one", () => {
    const bytes = message(field(1, "a"), field(1, ""));
    expect(rejection(() => request(`${KV}/Put`, bytes))).toEqual([
      3,
      "etcdserver: key is not provided",
    ]);
  });
});

describe("of a oneof, the last member alone counts", () => {
  const put = (key: string) => field(2, field(1, key));
  const range = (...fields: Uint8Array[]) => field(1, ...fields);
  const rows: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    [
      "different members",
      field(2, put("a"), range(field(1, "b"))),
      field(2, range(field(1, "p/b"))),
    ],
    ["the same member", field(2, put("a"), put("b")), field(2, put("p/b"))],
    [
      "the same member, then without its key",
      field(2, range(field(1, "a"), field(2, "c")), range(field(2, "d"))),
      field(2, range(field(1, "p/"), field(2, "p/d"))),
    ],
    [
      "a member again after another",
      field(2, put("a"), range(field(1, "b")), put("c")),
      field(2, put("p/c")),
    ],
    [
      "a transaction twice",
      field(2, field(4, field(2, put("a"))), field(4, field(3, put("b")))),
      field(2, field(4, field(3, put("p/b")))),
    ],
    [
      "in a transaction in a transaction",
      field(2, field(4, field(2, put("a"), put("b")))),
      field(2, field(4, field(2, put("p/b")))),
    ],
    [
      "unknown members, which stay",
      field(2, field(9, "x"), put("a"), put("b")),
      field(2, field(9, "x"), put("p/b")),
    ],
    [
      "operations, which are a list and not a oneof",
      message(field(2, put("a")), field(2, put("b"))),
      message(field(2, put("p/a")), field(2, put("p/b"))),
    ],
  ];
  test.each(rows)("%s", (_, client, etcd) => {
    expect(request(`${KV}/Txn`, client)).toBe(hex(etcd));
  });

  const create = (...fields: Uint8Array[]) => field(1, ...fields);
  const watches: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    [
      "two creations",
      message(create(field(1, "a"), field(2, "c")), create(field(1, "b"))),
      create(field(1, "p/b")),
    ],
    [
      "two creations, the second without a key",
      message(create(field(1, "a")), create(varintField(3, 5))),
      create(field(1, "p/"), varintField(3, 5)),
    ],
    [
      "a creation, then a cancellation",
      message(create(field(1, "a")), field(2, varintField(1, 3))),
      field(2, varintField(1, 3)),
    ],
    [
      "a cancellation, then a creation",
      message(field(2, varintField(1, 3)), create(field(1, "a"))),
      create(field(1, "p/a")),
    ],
    [
      "a progress request, then a creation",
      message(field(3), create(field(1, "a"))),
      create(field(1, "p/a")),
    ],
  ];
  test.each(watches)("Watch: %s", (_, client, etcd) => {
    expect(request(WATCH, client)).toBe(hex(etcd));
  });

  test("a broken member is refused even if another one follows", () => {
    expect(
      rejection(() => request(`${KV}/Txn`, field(2, field(2, "\x0a\x05a"), put("b")))),
    ).toEqual([13, `${UNMARSHALLING}: unexpected EOF`]);
  });
});

describe("an embedded message that occurs twice is merged", () => {
  test("in an answer", () => {
    const etcd = message(field(2, field(1, "p/a"), varintField(2, 1)), field(2, varintField(3, 2)));
    expect(response(`${KV}/Put`, etcd)).toBe(
      hex(field(2, field(1, "a"), varintField(2, 1), varintField(3, 2))),
    );
  });

  test("in three parts", () => {
    const etcd = message(
      field(2, field(1, "p/first"), varintField(2, 1)),
      field(2, varintField(3, 2), field(1, "p/a")),
      field(2, field(5, "v")),
    );
    const merged = field(2, varintField(2, 1), varintField(3, 2), field(1, "a"), field(5, "v"));
    expect(response(`${KV}/Put`, etcd)).toBe(hex(merged));
  });

  test("in an answer whose second part has another key", () => {
    const etcd = message(field(2, field(1, "q/a")), field(2, field(1, "p/b")));
    expect(response(`${KV}/Put`, etcd)).toBe(hex(field(2, field(1, "b"))));
    expect(
      rejection(() =>
        response(`${KV}/Put`, message(field(2, field(1, "p/b")), field(2, field(1, "q/a")))),
      )[0],
    ).toBe(13);
  });

  test("in the parts of events, separately for both members", () => {
    const etcd = field(
      11,
      field(2, field(1, "p/a")),
      field(3, field(1, "p/b")),
      field(2, varintField(3, 2)),
      field(3, field(1, "p/c")),
    );
    expect(response(WATCH, etcd)).toBe(
      hex(field(11, field(2, field(1, "a"), varintField(3, 2)), field(3, field(1, "c")))),
    );
  });

  test("in a request: the key of one part and the rest of another", () => {
    const client = message(
      field(1, field(1, "name"), field(2, "name/1")),
      field(2, "value"),
      field(1, varintField(3, 7)),
    );
    expect(request("/v3electionpb.Election/Proclaim", client)).toBe(
      hex(
        message(
          field(2, "value"),
          field(1, field(1, "p/name"), field(2, "p/name/1"), varintField(3, 7)),
        ),
      ),
    );
  });
});

describe("a malformed request is refused in etcd's words", () => {
  const rows: [what: string, path: string, bytes: Uint8Array, text: string][] = [
    ["a cut value", `${KV}/Range`, message("\x0a\x05a"), "unexpected EOF"],
    [
      "a varint as the key",
      `${KV}/Range`,
      varintField(1, 1),
      "proto: wrong wireType = 0 for field Key",
    ],
    [
      "a varint as the key after the key",
      `${KV}/Put`,
      message(field(1, "a"), varintField(1, 1)),
      "proto: wrong wireType = 0 for field Key",
    ],
    [
      "a group as the key",
      `${KV}/Range`,
      message("\x0b\x0c"),
      "proto: wrong wireType = 3 for field Key",
    ],
    [
      "a fixed number as the range end",
      `${KV}/DeleteRange`,
      message(field(1, "a"), tag(2, 5), "aaaa"),
      "proto: wrong wireType = 5 for field RangeEnd",
    ],
    ["wire type 7", `${KV}/Put`, message("\x7f"), "proto: illegal wireType 7"],
    ["field 0", `${KV}/Range`, message("\0\0"), "proto: RangeRequest: illegal tag 0 (wire type 0)"],
    [
      "the end of a group",
      `${KV}/Range`,
      message("\x0c"),
      "proto: RangeRequest: wiretype end group for non-group",
    ],
    ["an endless tag", `${KV}/Range`, message("\xff".repeat(11)), "proto: integer overflow"],
    [
      "a negative length",
      `${KV}/Range`,
      message("\x0a", varint(-1n)),
      "proto: negative length found during unmarshaling",
    ],
    [
      "a comparison as a varint",
      `${KV}/Txn`,
      message("\x08"),
      "proto: wrong wireType = 0 for field Compare",
    ],
    [
      "an operation as a varint",
      `${KV}/Txn`,
      field(2, varintField(1, 0)),
      "proto: wrong wireType = 0 for field RequestRange",
    ],
    ["a broken operation", `${KV}/Txn`, field(3, field(2, "\x0a")), "unexpected EOF"],
    [
      "an operation that is longer than its list",
      `${KV}/Txn`,
      message("\x12\x04\x12\x05\x0a\x01a", field(1, "a")),
      "unexpected EOF",
    ],
    [
      "field 1 by a tag that gogo/protobuf truncates",
      `${KV}/Range`,
      message(field(1, "a"), varint(2n ** 35n + 10n), "\x01b"),
      "proto: integer overflow",
    ],
  ];
  test.each(rows)("%s", (_, path, bytes, text) => {
    expect(rejection(() => request(path, bytes))).toEqual([13, `${UNMARSHALLING}: ${text}`]);
  });

  test("on a stream, in those of streams", () => {
    const streams = [WATCH, `${KV}/RangeStream`, "/v3electionpb.Election/Observe"];
    for (const path of streams)
      expect(rejection(() => request(path, message("\x0a")))).toEqual([
        13,
        `${RECEIVED}: unexpected EOF`,
      ]);
  });

  test("before it is refused for its empty key", () => {
    expect(rejection(() => request(`${KV}/Range`, message(field(1, ""), "\x7f")))[0]).toBe(13);
  });

  test("and the next request is rewritten as usual", () => {
    expect(
      rejection(() => request(`${KV}/Txn`, message(field(2, field(2, field(1, "a"))), "\x7f")))[0],
    ).toBe(13);
    expect(request(`${KV}/Put`, field(1, "a"))).toBe(hex(field(1, "p/a")));
  });
});

describe("a malformed answer ends the call", () => {
  test.each([`${KV}/Range`, `${KV}/Txn`, WATCH])("%s", (path) => {
    expect(rejection(() => response(path, message("\x0a\x05a")))).toEqual([
      13,
      `${RECEIVED}: unexpected EOF`,
    ]);
  });
});

describe("groups, which only unknown fields can be, pass", () => {
  test("with fields that look like keys", () => {
    const group = message(
      tag(30, 3),
      field(1, "x"),
      tag(31, 3),
      field(2, "y"),
      tag(31, 4),
      tag(30, 4),
    );
    expect(request(`${KV}/Put`, message(group, field(1, "a"), group))).toBe(
      hex(message(group, field(1, "p/a"), group)),
    );
    expect(request(`${KV}/Put`, message(group, field(1, "a"), field(1, "b")))).toBe(
      hex(message(group, field(1, "p/b"))),
    );
  });
});

describe("transactions in transactions", () => {
  const nested = (levels: number, inner: Uint8Array) => {
    let bytes: Uint8Array = inner;
    for (let level = 0; level < levels; level++) bytes = field(2, field(4, bytes));
    return bytes;
  };
  const put = (key: string) => field(2, field(2, field(1, key)));

  test("pass up to a level that etcd refuses itself", () => {
    for (const levels of [1, 2, 100, 128])
      expect(request(`${KV}/Txn`, nested(levels, put("a")))).toBe(hex(nested(levels, put("p/a"))));
    expect(request(`${KV}/Txn`, nested(129, message()))).toBe(hex(nested(129, message())));
  });

  test("are refused beyond it, with etcd's code and words", () => {
    for (const levels of [130, 1000, 10_000])
      expect(rejection(() => request(`${KV}/Txn`, nested(levels, put("a"))))).toEqual([
        3,
        "etcdserver: too many operations in txn request",
      ]);
  });

  test("are refused in an answer", () => {
    const deep = (levels: number): Uint8Array =>
      levels === 0 ? message() : field(3, field(4, deep(levels - 1)));
    expect(response(`${KV}/Txn`, deep(128))).toBe(hex(deep(128)));
    expect(rejection(() => response(`${KV}/Txn`, deep(1000)))).toEqual([
      13,
      `${RECEIVED}: proto: exceeded maximum recursion depth`,
    ]);
  });

  test("are merged at every level", () => {
    const twice = message(field(2, field(2, field(1, "a")), field(2, field(1, "b"))));
    expect(request(`${KV}/Txn`, nested(100, twice))).toBe(hex(nested(100, put("p/b"))));
  });
});
