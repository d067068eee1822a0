import { describe, expect, test } from "bun:test";
import { MethodTable } from "../../src/grpc-proxy/methods.ts";

describe("MethodTable", () => {
  test("find() names a hundred methods that etcd does not have, and all that it has", () => {
    const table = new MethodTable();
    for (let i = 0; i < 1000; i++) table.find(`/a.Service/Method${i}`);
    expect(table.find("/a.Service/Method99").name).toBe("Method99");
    expect(table.find("/a.Service/Method100").name).toBe("unknown");
    expect(table.find("/a.Service/Method101")).toBe(table.find("/unknown/unknown"));

    const range = table.find("/etcdserverpb.KV/Range");
    expect(range).toMatchObject({ service: "etcdserverpb.KV", name: "Range", isRead: true });
    expect(table.find("/etcdserverpb.Watch/Watch").type).toBe("bidi_stream");
    expect([...table.all]).toHaveLength(103);
  });

  test.each([
    "",
    "/",
    "*",
    "etcdserverpb.KV/Range",
    "/a/b/c",
    "/a/",
    "//b",
    '/a"/b',
    "/a/\u00ff",
    `/${"a".repeat(60_000)}/b`,
    `/a/${"b".repeat(81)}`,
  ])("find() does not name %.30j after its client", (path) => {
    const { service, name } = new MethodTable().find(path);
    expect([service, name]).toEqual(["unknown", "unknown"]);
  });
});
