import { describe, expect, test } from "bun:test";
import { Rejection } from "../../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../../src/grpc-proxy/namespace/namespace.ts";
import { bytesOf, field, message, varintField } from "../../support/wire-format.ts";

const KV = "/etcdserverpb.KV";
const WATCH = "/etcdserverpb.Watch/Watch";
const TIME_TO_LIVE = "/etcdserverpb.Lease/LeaseTimeToLive";
const FOREIGN = new Rejection({
  code: 13,
  message: "etcd-gateway: etcd returned a key outside the namespace",
});

/** Rewrites an answer of etcd for the client. */
function response(path: string, bytes: Uint8Array, prefix = "p/"): string {
  const { response: rewrite } = new Namespace(bytesOf(prefix)).rewriterOf(path)!;
  return Buffer.from(rewrite!(bytes)).toString("hex");
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const header = field(1, varintField(1, 2n ** 64n - 1n), varintField(3, 300));
/** The fields of a key-value pair. */
const kv = (key: string, value = "v") =>
  message(
    field(1, key),
    varintField(2, 5),
    varintField(3, 300),
    varintField(4, 1),
    field(5, value),
  );

type Row = [what: string, path: string, etcd: Uint8Array, client: Uint8Array];

describe("answers lose the prefix of their keys", () => {
  const rows: Row[] = [
    [
      "Range",
      "Range",
      message(header, field(2, kv("p/a")), field(2, kv("p/b")), varintField(4, 2)),
      message(header, field(2, kv("a")), field(2, kv("b")), varintField(4, 2)),
    ],
    [
      "Range without keys",
      "Range",
      message(header, varintField(4, 2)),
      message(header, varintField(4, 2)),
    ],
    [
      "Range with the prefix as a key",
      "Range",
      field(2, kv("p/")),
      field(2, varintField(2, 5), varintField(3, 300), varintField(4, 1), field(5, "v")),
    ],
    ["Range with the prefix twice", "Range", field(2, kv("p/p/")), field(2, kv("p/"))],
    [
      "Range with a value that starts with the prefix",
      "Range",
      field(2, kv("p/a", "p/v")),
      field(2, kv("a", "p/v")),
    ],
    [
      "Range with unknown fields",
      "Range",
      message(field(90, "x"), field(2, kv("p/a"), field(91, "p/"))),
      message(field(90, "x"), field(2, kv("a"), field(91, "p/"))),
    ],
    [
      "RangeStream",
      "RangeStream",
      field(1, header, field(2, kv("p/a"))),
      field(1, header, field(2, kv("a"))),
    ],
    ["RangeStream without a range", "RangeStream", message(), message()],
    ["Put", "Put", message(header, field(2, kv("p/a"))), message(header, field(2, kv("a")))],
    ["Put without a previous key", "Put", header, header],
    [
      "DeleteRange",
      "DeleteRange",
      message(header, varintField(2, 2), field(3, kv("p/a")), field(3, kv("p/b"))),
      message(header, varintField(2, 2), field(3, kv("a")), field(3, kv("b"))),
    ],
    [
      "Txn",
      "Txn",
      message(
        header,
        varintField(2, 1),
        field(3, field(1, header, field(2, kv("p/a")))),
        field(3, field(2, field(2, kv("p/b")))),
        field(3, field(3, field(3, kv("p/c")))),
        field(3, field(4, header, field(3, field(4, field(3, field(2, field(2, kv("p/d")))))))),
      ),
      message(
        header,
        varintField(2, 1),
        field(3, field(1, header, field(2, kv("a")))),
        field(3, field(2, field(2, kv("b")))),
        field(3, field(3, field(3, kv("c")))),
        field(3, field(4, header, field(3, field(4, field(3, field(2, field(2, kv("d")))))))),
      ),
    ],
    [
      "Txn with empty answers",
      "Txn",
      message(header, field(3), field(3, field(2))),
      message(header, field(3), field(3, field(2))),
    ],
  ];
  test.each(rows)("%s", (_, name, etcd, client) => {
    expect(response(`${KV}/${name}`, etcd)).toBe(hex(client));
  });

  test("Watch", () => {
    const put = (key: string, previous?: string) =>
      field(
        11,
        field(2, kv(key)),
        ...(previous === undefined ? [] : [field(3, kv(previous, "old"))]),
      );
    const del = (key: string) =>
      field(11, varintField(1, 1), field(2, field(1, key), varintField(3, 9)));
    const start = message(header, varintField(2, 4));
    const etcd = message(start, put("p/a"), put("p/b", "p/b"), del("p/c"));
    expect(response(WATCH, etcd)).toBe(hex(message(start, put("a"), put("b", "b"), del("c"))));
  });

  test("a length that needs one byte less", () => {
    for (let length = 120; length < 140; length++) {
      const key = "k".repeat(length);
      expect(response(`${KV}/Range`, field(2, kv(`p/${key}`)))).toBe(hex(field(2, kv(key))));
    }
  });

  test("to the byte", () => {
    const etcd = Buffer.from("0a0208011206 0a04702f6162 2001".replaceAll(" ", ""), "hex");
    expect(response(`${KV}/Range`, etcd)).toBe("0a02080112040a0261622001");
  });

  test.each([
    [`${KV}/Range`, message(header, varintField(4, 2))],
    [`${KV}/Put`, header],
    [WATCH, message(header, varintField(3, 1), field(6, "etcdserver: mvcc"))],
    [TIME_TO_LIVE, message(header, varintField(2, 7))],
  ])("%s without keys is returned itself", (path, bytes) => {
    const { response: rewrite } = new Namespace(bytesOf("p/")).rewriterOf(path)!;
    expect(rewrite!(bytes)).toBe(bytes);
  });

  test("10,000 keys are rewritten in one message", () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => `key-${i}`);
    const answer = (prefix: string) =>
      message(header, ...keys.map((key) => field(2, kv(prefix + key))));
    expect(response(`${KV}/Range`, answer("p/"))).toBe(hex(answer("")));
  });
});

describe("LeaseTimeToLive keeps only the keys of the namespace", () => {
  const start = message(header, varintField(2, 7), varintField(3, 60), varintField(4, 60));
  const keys = (...list: string[]) => list.map((key) => field(5, key));
  const rows: [what: string, etcd: string[], client: string[]][] = [
    ["its own", ["p/a", "p/b"], ["a", "b"]],
    ["foreign keys", ["q/a", "p", "", "p0", "a"], []],
    ["both", ["a", "p/a", "b", "p/", "c"], ["a", ""]],
  ];
  test.each(rows)("of %s", (_, etcd, client) => {
    expect(response(TIME_TO_LIVE, message(start, ...keys(...etcd)))).toBe(
      hex(message(start, ...keys(...client))),
    );
  });

  test("requests pass as they are", () => {
    expect(new Namespace(bytesOf("p/")).rewriterOf(TIME_TO_LIVE)!.request).toBeUndefined();
  });
});

describe("an answer with a key outside the namespace is refused", () => {
  test.each(["b", "q/", "p", "", "P/a", "/p/a", "p0"])("%j", (key) => {
    const rows: [path: string, bytes: Uint8Array][] = [
      [`${KV}/Range`, field(2, kv(key))],
      [`${KV}/Range`, message(field(2, kv("p/a")), field(2, kv(key)), field(2, kv("p/b")))],
      [`${KV}/RangeStream`, field(1, field(2, kv(key)))],
      [`${KV}/Put`, field(2, kv(key))],
      [`${KV}/DeleteRange`, field(3, kv(key))],
      [`${KV}/Txn`, field(3, field(1, field(2, kv(key))))],
      [`${KV}/Txn`, field(3, field(4, field(3, field(2, field(2, kv(key))))))],
      [WATCH, field(11, field(2, kv(key)))],
      [WATCH, field(11, field(2, kv("p/a")), field(3, kv(key)))],
    ];
    for (const [path, bytes] of rows) expect(() => response(path, bytes)).toThrow(FOREIGN);
  });

  test("a pair without a key", () => {
    expect(() => response(`${KV}/Range`, field(2))).toThrow(FOREIGN);
    expect(() => response(`${KV}/Range`, field(2, varintField(2, 1)))).toThrow(FOREIGN);
  });

  test("a key that has the prefix only together with the bytes after it", () => {
    // 0x10 is the tag of create_revision.
    const cut = field(2, field(1, "a"), varintField(2, 5));
    expect(() => response(`${KV}/Range`, cut, "a\x10")).toThrow(FOREIGN);
    expect(response(TIME_TO_LIVE, message(field(5, "a"), varintField(2, 7)), "a\x10")).toBe(
      hex(varintField(2, 7)),
    );
  });

  test("with code 13, and without the key", () => {
    try {
      response(`${KV}/Range`, field(2, kv("secret")));
      throw new Error("not refused");
    } catch (error) {
      expect((error as Rejection).code).toBe(13);
      expect((error as Rejection).message).not.toContain("secret");
    }
  });

  test("and the next answer is rewritten as usual", () => {
    const { response: rewrite } = new Namespace(bytesOf("p/")).rewriterOf(`${KV}/Range`)!;
    expect(() => rewrite!(message(field(2, kv("p/a")), field(2, kv("q/b"))))).toThrow(FOREIGN);
    expect(hex(rewrite!(field(2, kv("p/c"))))).toBe(hex(field(2, kv("c"))));
  });
});
