// Files that the user names, and what happens if the wrong one is named.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTextFile } from "../../src/os/files.ts";

const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-read-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("readTextFile()", () => {
  test("reads a file of 16 MiB, and refuses a longer one and an endless device", async () => {
    const path = join(folder, "large");
    writeFileSync(path, "a".repeat(16 << 20));
    expect(await readTextFile(path)).toHaveLength(16 << 20);
    truncateSync(path, (16 << 20) + 1);
    await expect(readTextFile(path)).rejects.toMatchObject({ code: "EFBIG" });
    await expect(readTextFile("/dev/zero")).rejects.toMatchObject({ code: "EFBIG" });
  });

  test("reads a file of /proc, which has no size", async () => {
    expect(await readTextFile("/proc/self/status")).toContain("Threads:");
  });
});
