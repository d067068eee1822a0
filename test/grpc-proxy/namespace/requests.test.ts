import { describe, expect, test } from "bun:test";
import { Rejection } from "../../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../../src/grpc-proxy/namespace/namespace.ts";
import { successorOf } from "../../../src/grpc-proxy/namespace/successor.ts";
import { bytesOf, field, message, varintField } from "../../support/wire-format.ts";

const KV = "/etcdserverpb.KV";
const WATCH = "/etcdserverpb.Watch/Watch";
const EMPTY_KEY = new Rejection({ code: 3, message: "etcdserver: key is not provided" });

/** Rewrites a request of a client for etcd. */
function request(path: string, bytes: Uint8Array, prefix = "p/"): string {
  const { request: rewrite } = new Namespace(bytesOf(prefix)).rewriterOf(path)!;
  return Buffer.from(rewrite!(bytes)).toString("hex");
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("successorOf() is the end of the keys with a prefix", () => {
  test.each([
    ["a", "b"],
    ["tenant-a/", "tenant-a0"],
    ["\0", "\x01"],
    ["a\xfe", "a\xff"],
    ["a\xff", "b"],
    ["a\xff\xff", "b"],
    ["a\0\xff", "a\x01"],
    ["\xfe\xff", "\xff"],
    ["\xff", "\0"],
    ["\xff\xff\xff", "\0"],
  ])("%j: %j", (prefix, successor) => {
    const bytes = bytesOf(prefix);
    expect(Buffer.from(successorOf(bytes)).toString("latin1")).toBe(successor);
    expect(bytes.toString("latin1")).toBe(prefix);
  });
});

describe("Namespace keeps its own copy of the prefix", () => {
  test("a Buffer that changes later", () => {
    const prefix = Buffer.from("p/");
    const namespace = new Namespace(prefix);
    prefix.fill(0);
    const rewritten = namespace.rewriterOf(`${KV}/Put`)!.request!(field(1, "k"));
    expect(hex(rewritten)).toBe(hex(field(1, "p/k")));
  });
});

const LONG = "k".repeat(126);
const LONGER = "k".repeat(16_382);

describe("Range", () => {
  const limits = message(varintField(3, 10), varintField(4, 5), varintField(7, 1));
  const rows: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    ["a key", field(1, "k"), field(1, "p/k")],
    ["a range", message(field(1, "a"), field(2, "b")), message(field(1, "p/a"), field(2, "p/b"))],
    [
      "a range end that is present and empty, which etcd up to 3.6 reads as the end of the store",
      message(field(1, "a"), field(2, "")),
      field(1, "p/a"),
    ],
    [
      "all keys",
      message(field(1, "\0"), field(2, "\0")),
      message(field(1, "p/\0"), field(2, "p0")),
    ],
    [
      "from a key on",
      message(field(1, "a"), field(2, "\0")),
      message(field(1, "p/a"), field(2, "p0")),
    ],
    [
      "a range end of two zero bytes",
      message(field(1, "a"), field(2, "\0\0")),
      message(field(1, "p/a"), field(2, "p/\0\0")),
    ],
    [
      "a range end that starts with a zero byte",
      message(field(1, "a"), field(2, "\0a")),
      message(field(1, "p/a"), field(2, "p/\0a")),
    ],
    ["a key that has the prefix already", field(1, "p/k"), field(1, "p/p/k")],
    ["other fields", message(field(1, "k"), limits), message(field(1, "p/k"), limits)],
    [
      "unknown fields",
      message(field(1, "k"), field(99, "x"), varintField(98, 7)),
      message(field(1, "p/k"), field(99, "x"), varintField(98, 7)),
    ],
    [
      "unknown fields first",
      message(field(99, "x"), field(1, "k")),
      message(field(99, "x"), field(1, "p/k")),
    ],
    [
      "the range end first",
      message(field(2, "b"), field(1, "a")),
      message(field(2, "p/b"), field(1, "p/a")),
    ],
    ["a length that needs a second byte", field(1, LONG), field(1, `p/${LONG}`)],
    ["a length that needs a third byte", field(1, LONGER), field(1, `p/${LONGER}`)],
    ["a padded tag and length", message("\x8a\x80\x00\x81\x00a"), message("\x8a\x80\x00\x03p/a")],
  ];
  test.each(rows)("with %s", (_, client, etcd) => {
    expect(request(`${KV}/Range`, client)).toBe(hex(etcd));
    expect(request(`${KV}/RangeStream`, client)).toBe(hex(etcd));
  });

  test("to the byte", () => {
    expect(request(`${KV}/Range`, Buffer.from("0a01611201001805", "hex"))).toBe(
      "0a03702f61120270301805",
    );
  });

  test.each([
    ["p/", "p0"],
    ["a\xff", "b"],
    ["\xff\xff", "\0"],
    ["\0", "\x01"],
  ])("in the namespace %j, all keys end at %j", (prefix, end) => {
    const all = message(field(1, "\0"), field(2, "\0"));
    const expected = message(field(1, `${prefix}\0`), field(2, end));
    expect(request(`${KV}/Range`, all, prefix)).toBe(hex(expected));
  });
});

describe("Put", () => {
  const rows: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    ["a key", field(1, "k"), field(1, "p/k")],
    [
      "all fields",
      message(field(1, "k"), field(2, "v"), varintField(3, 2n ** 63n - 1n), varintField(4, 1)),
      message(field(1, "p/k"), field(2, "v"), varintField(3, 2n ** 63n - 1n), varintField(4, 1)),
    ],
    [
      "a value that looks like a message",
      message(field(1, "k"), field(2, field(1, "k"))),
      message(field(1, "p/k"), field(2, field(1, "k"))),
    ],
    [
      "a value of a single zero byte",
      message(field(1, "k"), field(2, "\0")),
      message(field(1, "p/k"), field(2, "\0")),
    ],
    [
      "a large value",
      message(field(1, "k"), field(2, "v".repeat(100_000))),
      message(field(1, "p/k"), field(2, "v".repeat(100_000))),
    ],
  ];
  test.each(rows)("with %s", (_, client, etcd) => {
    expect(request(`${KV}/Put`, client)).toBe(hex(etcd));
  });
});

describe("DeleteRange", () => {
  const rows: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    [
      "a key",
      message(field(1, "k"), varintField(3, 1)),
      message(field(1, "p/k"), varintField(3, 1)),
    ],
    ["a range", message(field(1, "a"), field(2, "b")), message(field(1, "p/a"), field(2, "p/b"))],
    [
      "all keys",
      message(field(1, "\0"), field(2, "\0")),
      message(field(1, "p/\0"), field(2, "p0")),
    ],
  ];
  test.each(rows)("with %s", (_, client, etcd) => {
    expect(request(`${KV}/DeleteRange`, client)).toBe(hex(etcd));
  });
});

describe("an empty key of a single operation is refused as by etcd", () => {
  const paths = ["Range", "RangeStream", "Put", "DeleteRange"].map((name) => `${KV}/${name}`);
  test.each(paths)("%s", (path) => {
    for (const bytes of [message(), field(1, ""), field(2, "\0"), varintField(4, 1)])
      expect(() => request(path, bytes)).toThrow(EMPTY_KEY);
  });

  test("with its code", () => {
    const error = rejectionOf(() => request(`${KV}/Put`, message()));
    expect([error.code, error.message]).toEqual([3, "etcdserver: key is not provided"]);
  });
});

describe("Txn", () => {
  const compare = (key: string, ...rest: Uint8Array[]) =>
    field(1, varintField(1, 0), varintField(2, 3), field(3, key), ...rest);
  const value = field(7, "same");
  const rows: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    ["nothing", message(), message()],
    ["a comparison", compare("k", value), compare("p/k", value)],
    [
      "a comparison of a range",
      compare("a", value, field(64, "b")),
      compare("p/a", value, field(64, "p/b")),
    ],
    ["a comparison of all keys", compare("\0", field(64, "\0")), compare("p/\0", field(64, "p0"))],
    ["a comparison with an empty range end", compare("a", field(64, "")), compare("p/a")],
    [
      "a range",
      field(2, field(1, field(1, "a"), field(2, "b"))),
      field(2, field(1, field(1, "p/a"), field(2, "p/b"))),
    ],
    [
      "a put",
      field(3, field(2, field(1, "k"), field(2, "v"))),
      field(3, field(2, field(1, "p/k"), field(2, "v"))),
    ],
    [
      "a delete",
      field(2, field(3, field(1, "a"), field(2, "\0"))),
      field(2, field(3, field(1, "p/a"), field(2, "p0"))),
    ],
    [
      "a transaction in a transaction",
      field(2, field(4, compare("k"), field(3, field(4, field(2, field(2, field(1, "k"))))))),
      field(2, field(4, compare("p/k"), field(3, field(4, field(2, field(2, field(1, "p/k"))))))),
    ],
    ["an operation without content", field(2), field(2)],
    ["an unknown member of the oneof", field(2, field(9, "x")), field(2, field(9, "x"))],
    [
      "several operations and unknown fields",
      message(
        field(2, field(2, field(1, "a"))),
        field(77, "x"),
        field(2, field(3, field(1, "b")), field(78, "y")),
      ),
      message(
        field(2, field(2, field(1, "p/a"))),
        field(77, "x"),
        field(2, field(3, field(1, "p/b")), field(78, "y")),
      ),
    ],
  ];
  test.each(rows)("with %s", (_, client, etcd) => {
    expect(request(`${KV}/Txn`, client)).toBe(hex(etcd));
  });

  const emptyKeys: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    [
      "an empty key",
      field(2, field(2, field(1, ""), field(2, "v"))),
      field(2, field(2, field(1, "p/"), field(2, "v"))),
    ],
    [
      "no key",
      field(2, field(2, field(2, "v"))),
      field(2, field(2, field(1, "p/"), field(2, "v"))),
    ],
    ["no field at all", field(2, field(1)), field(2, field(1, field(1, "p/")))],
    [
      "no key, and a range end",
      field(2, field(3, field(2, "\0"))),
      field(2, field(3, field(1, "p/"), field(2, "p0"))),
    ],
    [
      "no key in a comparison",
      field(1, varintField(1, 1), field(7, "v")),
      field(1, varintField(1, 1), field(3, "p/"), field(7, "v")),
    ],
    [
      "no key, and only fields before it",
      field(1, varintField(2, 1)),
      field(1, varintField(2, 1), field(3, "p/")),
    ],
    [
      "a key after its place",
      field(1, field(7, "v"), field(3, "k")),
      field(1, field(7, "v"), field(3, "p/k")),
    ],
  ];
  test.each(emptyKeys)("%s: an empty key becomes the prefix", (_, client, etcd) => {
    expect(request(`${KV}/Txn`, client)).toBe(hex(etcd));
  });

  test("lengths of embedded messages that need a second byte", () => {
    const transaction = (key: string) => field(2, field(4, field(2, field(2, field(1, key)))));
    for (let length = 100; length < 140; length++) {
      const key = "k".repeat(length);
      expect(request(`${KV}/Txn`, transaction(key))).toBe(hex(transaction(`p/${key}`)));
    }
  });
});

describe("Watch", () => {
  const options = message(
    varintField(3, 7),
    varintField(4, 1),
    field(5, "\0\x01"),
    varintField(6, 1),
    varintField(7, 9),
    varintField(8, 1),
  );
  const rows: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    ["a key", field(1, field(1, "k")), field(1, field(1, "p/k"))],
    [
      "a range and all options",
      field(1, field(1, "a"), field(2, "b"), options),
      field(1, field(1, "p/a"), field(2, "p/b"), options),
    ],
    [
      "all keys",
      field(1, field(1, "\0"), field(2, "\0")),
      field(1, field(1, "p/\0"), field(2, "p0")),
    ],
    [
      "an empty key, which becomes the prefix",
      field(1, field(2, "\0")),
      field(1, field(1, "p/"), field(2, "p0")),
    ],
    ["nothing, which becomes the prefix", field(1), field(1, field(1, "p/"))],
  ];
  test.each(rows)("creates with %s", (_, client, etcd) => {
    expect(request(WATCH, client)).toBe(hex(etcd));
  });

  test.each([
    ["a cancel request", field(2, varintField(1, 3))],
    ["a progress request", field(3)],
    ["an empty request", message()],
    ["an unknown request", field(4, field(1, "k"))],
  ])("returns %s itself", (_, bytes) => {
    const { request: rewrite } = new Namespace(bytesOf("p/")).rewriterOf(WATCH)!;
    expect(rewrite!(bytes)).toBe(bytes);
  });
});

function rejectionOf(attempt: () => unknown): Rejection {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
  throw new Error("the request was not rejected");
}
