// TLS of the gRPC proxy from files: when the settings of dials to etcd are built again.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile } from "node:fs/promises";
import { FileTls } from "../../src/commands/grpc-proxy-tls.ts";
import { createLog } from "../../src/observe/log.ts";
import { systemClock } from "../../src/os/clock.ts";
import { Closers } from "../support/gateway-command.ts";
import { readProxyConfig } from "../support/grpc-proxy-flags.ts";
import { Authority } from "../support/tls-certificates.ts";
import { CLIENT_FLAGS } from "../support/tls-context.ts";

const log = createLog({ level: "error", format: "json", write: () => true, now: () => 0 });
const closers = new Closers();
let authority: Authority;
beforeAll(async () => {
  authority = closers.add(await Authority.create());
});
afterAll(() => closers.close());

describe("FileTls", () => {
  test("memberSettings() parses the files again only if one has changed", async () => {
    const pair = await authority.issue("client");
    const { config } = readProxyConfig([
      `--cacert=${authority.cert}`,
      `--cert=${pair.cert}`,
      `--key=${pair.key}`,
    ]);
    const files = closers.add(new FileTls(config.listenTls, systemClock, log, CLIENT_FLAGS));
    /** Returns the parsed files inside the settings. */
    const context = async (tls = config.tls) =>
      ((await files.memberSettings(tls, ["a.test"])).options as { secureContext?: object })
        .secureContext;
    const first = await context();
    expect(first).toBeDefined();
    expect(await context()).toBe(first);

    const renewed = await authority.issue("renewed");
    await copyFile(renewed.cert, pair.cert);
    await copyFile(renewed.key, pair.key);
    const second = await context();
    expect(second).not.toBe(first);
    expect(await context()).toBe(second);
    expect(await context({ ...config.tls, certFile: undefined, keyFile: undefined })).not.toBe(
      second,
    );
  });

  test("memberSettings() keeps them with the system's store, and obeys --insecure-skip-tls-verify", async () => {
    const { config } = readProxyConfig([]);
    const files = closers.add(new FileTls(config.listenTls, systemClock, log, CLIENT_FLAGS));
    const settings = async (insecureSkipVerify: boolean) =>
      await files.memberSettings({ ...config.tls, insecureSkipVerify }, ["a.test"]);
    const peer = { getPeerCertificate: () => undefined };
    const first = await settings(false);
    const contextOf = ({ options }: typeof first) =>
      (options as { secureContext?: object }).secureContext;
    expect(contextOf(await settings(false))).toBe(contextOf(first));
    expect((await settings(true)).verify(peer, undefined)).toBeUndefined();
    expect((await settings(false)).verify(peer, undefined)?.code).toBe("NO_CERTIFICATE");
  });
});
