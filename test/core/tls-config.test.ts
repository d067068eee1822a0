import { describe, expect, test } from "bun:test";
import { type EtcdTls, usesTls } from "../../src/core/tls-config.ts";

const NONE: EtcdTls = {
  trustedCaFile: undefined,
  certFile: undefined,
  keyFile: undefined,
  insecureSkipVerify: false,
};

describe("usesTls()", () => {
  test("obeys the scheme of the endpoint", () => {
    expect(usesTls({ scheme: "https" }, NONE)).toBe(true);
    expect(usesTls({ scheme: "http" }, { ...NONE, trustedCaFile: "/ca" })).toBe(false);
  });

  test.each<[name: string, tls: EtcdTls, expected: boolean]>([
    ["nothing", NONE, false],
    ["a CA", { ...NONE, trustedCaFile: "/ca" }, true],
    ["a certificate", { ...NONE, certFile: "/c", keyFile: "/k" }, true],
    ["no verification", { ...NONE, insecureSkipVerify: true }, true],
  ])("follows what is configured for an endpoint without a scheme: %s", (_, tls, expected) => {
    expect(usesTls({ scheme: undefined }, tls)).toBe(expected);
  });
});
