import { describe, expect, test } from "bun:test";
import { GrpcProxyConfigProvider } from "../../src/commands/grpc-proxy-config-provider.ts";
import { StartError } from "../../src/core/start-error.ts";

const USER = { user: "proxy", "password-file": "/password" };

/** A configuration of these flags and files, whose texts the test may change. */
async function loaded(flags: Record<string, string>, files: Record<string, string> = {}) {
  const provider = await GrpcProxyConfigProvider.load({
    given: new Map(Object.entries(flags)),
    environment: {},
    readFile: async (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error("no file"), { code: "ENOENT" });
      return text;
    },
  });
  return { provider, files };
}

describe("GrpcProxyConfigProvider", () => {
  test("logs at level debug with --debug, whatever --log-level is", async () => {
    const { provider } = await loaded({ debug: "true", "log-level": "warn" });
    expect(provider.config.logLevel).toBe("debug");
    const { provider: other } = await loaded({ "log-level": "warn" });
    expect(other.config.logLevel).toBe("warn");
  });

  test.each(["hush", "hush\n", "hush\r\n"])("reads the password %j of a file", async (text) => {
    const { provider } = await loaded(USER, { "/password": text });
    expect(provider.config.credentials).toEqual({ user: "proxy", password: "hush" });
    expect(provider.texts()["password-file"]).toBe("/password");
    expect(JSON.stringify(provider.texts())).not.toContain("hush");
  });

  test("takes the password of --password", async () => {
    const { provider } = await loaded({ user: "proxy", password: "hush" });
    expect(provider.config.credentials).toEqual({ user: "proxy", password: "hush" });
    expect(provider.texts()["password"]).toBe("(not shown)");
  });

  test.each([
    ["", "it is empty"],
    ["\n", "it is empty"],
    ["hush\nhush\n", "it has more than one line, or a control character"],
    ["hu\tsh", "it has more than one line, or a control character"],
  ])("refuses the password file %j without quoting it", async (text, fact) => {
    await expect(loaded(USER, { "/password": text })).rejects.toThrow(
      new StartError(`Cannot use --password-file "/password": ${fact}`),
    );
  });

  test("names the password file that is not there", async () => {
    await expect(loaded(USER)).rejects.toThrow(
      new StartError('Cannot read --password-file "/password": there is no such file'),
    );
  });

  test("reread() takes a renewed password, once it is committed", async () => {
    const { provider, files } = await loaded(USER, { "/password": "old" });
    files["/password"] = "new\n";
    const change = await provider.reread();
    expect(change).toMatchObject({ changed: ["--password-file"], needRestart: [] });
    expect(change.config.credentials?.password).toBe("new");
    expect(provider.config.credentials?.password).toBe("old");
    change.commit();
    expect(provider.config.credentials?.password).toBe("new");
    expect((await provider.reread()).changed).toEqual([]);
  });

  test("reread() keeps what only a restart changes, with its whole section", async () => {
    const file = "/proxy.yaml";
    const { provider, files } = await loaded(
      { "config-file": file },
      { [file]: "namespace: a/\nmax-send-bytes: 1000\ncert-file: c\nkey-file: k\n" },
    );
    files[file] = "namespace-strict: true\nmax-send-bytes: 2000\ndebug: true\n";
    const change = await provider.reread();
    expect(change).toMatchObject({
      changed: ["--max-send-bytes", "--debug"],
      needRestart: ["--cert-file", "--key-file", "--namespace", "--namespace-strict"],
      config: {
        namespace: { prefix: "a/", isStrict: false },
        messages: { maxSendBytes: 2000 },
        listenTls: { certFile: "c", keyFile: "k" },
        logLevel: "debug",
      },
    });
  });
});
