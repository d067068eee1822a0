// The command line of the compiled binary: output, standard error and exit status. What
// each flag accepts is in test/cli and test/config.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { freePort } from "../support/free-port.ts";
import { Closers, eventually, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess, type GatewayOptions } from "../support/gateway-process.ts";
import { Peer, until } from "../support/peer.ts";
import { variableOf } from "../../src/cli/flag.ts";
import { flagNamed, startFlagNames } from "../support/flags.ts";

setDefaultTimeout(30_000);

const closers = new Closers();
afterEach(() => closers.close());

const binary = gatewayBinary();
const LISTEN = "--listen-addr=127.0.0.1:0";
const HINT = '"etcd-gateway help start" explains every flag.\n';

/** Runs the binary with the words of `line` until it exits. */
async function cli(line: string, env: Record<string, string> = {}) {
  const { status, stdout, stderr } = await run([binary, ...words(line)], { env });
  return { status, stdout, stderr };
}

/** Starts a gateway with the words of `line`; resolves when it is ready. */
async function started(line: string, options?: GatewayOptions): Promise<GatewayProcess> {
  const gateway = closers.add(new GatewayProcess([binary, ...words(line)], options));
  await gateway.logged("ready to proxy client requests");
  return gateway;
}

const words = (line: string) => line.split(" ").filter((word) => word !== "");

describe("etcd-gateway prints requested text to standard output and exits with 0", () => {
  const version = `etcd-gateway ${packageJson.version}\nBun ${Bun.version} ${process.platform}/${process.arch}\n`;

  test.each(["version", "--version", "-v", "start --version", "gateway start --version"])(
    "%p prints the versions of package.json and of the runtime",
    async (line) => {
      expect(await cli(line)).toEqual({ status: 0, stdout: version, stderr: "" });
    },
  );

  const helps: [title: string, opening: string, lines: string[]][] = [
    [
      "the program",
      "etcd-gateway replaces etcd's gateway, its gRPC proxy and its HTTP proxy",
      ["help", "--help", "-h"],
    ],
    [
      "start",
      "Listens on a local address and relays each client",
      [
        ...["help start", "start --help", "start -h", "--help start", "start help"],
        ...["help gateway start", "gateway start --help", "gateway start -h"],
      ],
    ],
    ["gateway", 'Holds "start"', ["gateway", "gateway --help", "gateway -h", "help gateway"]],
    [
      "grpc-proxy start",
      "Listens on a local address and forwards each gRPC call",
      ["help grpc-proxy start", "grpc-proxy start --help", "grpc-proxy --help start"],
    ],
    ["grpc-proxy", 'Holds "start"', ["grpc-proxy", "grpc-proxy --help", "help grpc-proxy"]],
    [
      "grpc-proxy check",
      'Does all that "grpc-proxy start" does but listening',
      ["help grpc-proxy check", "grpc-proxy check --help"],
    ],
    ["version", "Prints the version", ["help version", "version --help", "version -h"]],
    ["help", "Explains a command", ["help help"]],
  ];
  test.each(helps)(
    "help about %s is the same however it is requested",
    async (_, opening, lines) => {
      const results = await Promise.all(lines.map((line) => cli(line)));
      for (const result of results) {
        expect(result).toEqual({ ...results[0]!, status: 0, stderr: "" });
        expect(result.stdout).toStartWith(opening);
        expect(result.stdout).toContain("\nUsage:\n  etcd-gateway ");
      }
    },
  );

  test.each(["start", "check"])(
    "help about %s has the default, an example and the variable of each flag",
    async (command) => {
      const { stdout } = await cli(`help ${command}`);
      const expected = command === "check" ? [...startFlagNames, "output"] : startFlagNames;
      const shown: string[] = stdout.match(/^  --[\w-]+/gm) ?? [];
      expect(shown).toEqual(expected.map((n) => `  --${n}`));
      for (const name of expected) {
        const { default: text = "not set", example } = flagNamed(name);
        const [, section] = stdout.split(new RegExp(`^  --${name}(?:=.*)?\n`, "m"));
        const lines = section!.split(/^  -/m)[0]!.split("\n");
        expect(lines).toContain(`      default: ${text}`);
        expect(lines).toContain(`      example: --${name}=${example}`);
        expect(lines).toContain(`      variable: ${variableOf(name)}`);
      }
    },
  );

  test("help into a closed pipe exits with 0 and prints no error", async () => {
    const { status, stderr } = await run(["sh", "-c", '"$0" help start | :', binary]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});

describe("etcd-gateway rejects a wrong command line on standard error and exits with 2", () => {
  const rejected: [line: string, message: string][] = [
    [
      "",
      'Missing command: "etcd-gateway start" runs the gateway, "etcd-gateway grpc-proxy start" the gRPC proxy, and "etcd-gateway http-proxy start" the HTTP proxy',
    ],
    [
      "--endpoints=a:1",
      'Missing command: "etcd-gateway start" runs the gateway, "etcd-gateway grpc-proxy start" the gRPC proxy, and "etcd-gateway http-proxy start" the HTTP proxy',
    ],
    [
      "bogus",
      'Unknown command "bogus": the commands are start, gateway start, grpc-proxy start, http-proxy start, check, grpc-proxy check, status, healthcheck, completion, version and help',
    ],
    ["gateway bogus", 'Unknown command "gateway bogus"; did you mean "gateway start"?'],
    ["start now", 'Unexpected argument "now" after "start"'],
    ["version --endpoints=a:1", 'Cannot use --endpoints with "version": it takes no flags'],
    ["start --bogus", 'Unknown flag "--bogus"'],
    ["start --endpoint=a:1", 'Unknown flag "--endpoint"; did you mean --endpoints?'],
    ["start --retry-delay", "Missing value of --retry-delay: for example --retry-delay=30s"],
    [
      "start --retry-delay=0",
      'Cannot parse --retry-delay "0": shorter than 1ms, for example "30s"',
    ],
    [
      "start --retry-delay 123",
      'Cannot parse --retry-delay "123": missing unit, for example "30s"',
    ],
    [
      "start --endpoints=a:1,b",
      'Cannot parse --endpoints "a:1,b": "b": missing port, for example "10.0.1.10:2379,10.0.1.11:2379,[fd00::12]:2379"',
    ],
    [
      "start --listen-addr=127.0.0.1:65536",
      'Cannot parse --listen-addr "127.0.0.1:65536": port "65536" is not a number from 0 to 65535, for example "127.0.0.1:23790"',
    ],
    [
      "start --output=json",
      'Cannot use --output with "start": it is a flag of "check" and "grpc-proxy check" and "status"',
    ],
    [
      "start --endpoints=127.0.0.1:23790",
      'Cannot use --endpoints "127.0.0.1:23790": it resolves to 127.0.0.1, this process\'s own --listen-addr "127.0.0.1:23790"; name etcd\'s address',
    ],
  ];
  test.each(rejected)("%p is rejected", async (line, message) => {
    const stderr = `etcd-gateway: ${message}\n${HINT}`;
    expect(await cli(line)).toEqual({ status: 2, stdout: "", stderr });
  });

  test("the error names the variable if the wrong value is a variable's", async () => {
    expect(await cli("start", { ETCD_GATEWAY_DIAL_TIMEOUT: "3" })).toEqual({
      status: 2,
      stdout: "",
      stderr: `etcd-gateway: Cannot parse ETCD_GATEWAY_DIAL_TIMEOUT (--dial-timeout) "3": missing unit, for example "500ms"\n${HINT}`,
    });
  });
});

describe("etcd-gateway exits with 1 for errors that a later start may not find", () => {
  // The log format is unknown until the config file is read, so these errors are plain text.
  test.each(["start", "check", "grpc-proxy check", "status", "healthcheck"])(
    "%s exits with 1 if the config file does not exist",
    async (command) => {
      expect(await cli(`${command} --config-file=/gone.yaml`)).toEqual({
        status: 1,
        stdout: "",
        stderr: 'etcd-gateway: Cannot read --config-file "/gone.yaml": there is no such file\n',
      });
    },
  );

  const logged: [line: string, message: string][] = [
    [
      "start --endpoints-auto-sync-interval=1s --trusted-ca-file=/gone.pem",
      'Cannot use --trusted-ca-file "/gone.pem": there is no such file',
    ],
    [
      // An empty file, as while a certificate is renewed.
      "start --endpoints-auto-sync-interval=1s --trusted-ca-file=/dev/null",
      'Cannot use --trusted-ca-file "/dev/null": it is empty',
    ],
    [
      "start --listen-addr=0.0.0.0:23790 --endpoints=localhost:23790",
      'Cannot use --endpoints "localhost:23790": it resolves to 127.0.0.1, this process\'s own --listen-addr "0.0.0.0:23790"; name etcd\'s address',
    ],
  ];
  test.each(logged)("%p logs the error", async (line, message) => {
    const { status, stdout, stderr } = await cli(line);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    const lines = stderr
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text));
    expect(lines.filter(({ level }) => level === "error")).toMatchObject([{ msg: message }]);
  });
});

test("start logs one line and exits with 1 if it cannot listen", async () => {
  // TEST-NET-1 (RFC 5737): no machine has this address.
  const { status, stdout, stderr } = await cli("start --listen-addr=192.0.2.1:23790");
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr.split("\n")).toHaveLength(2);
  expect(JSON.parse(stderr)).toMatchObject({
    level: "error",
    msg: 'Cannot listen on "192.0.2.1:23790": this machine has no such address',
  });
});

describe("start", () => {
  const READY = "ready to proxy client requests";

  test.each([
    `start ${LISTEN} --endpoints=127.0.0.1:1,127.0.0.1:2`,
    `start ${LISTEN} --endpoints 127.0.0.1:1 --endpoints 127.0.0.1:2`,
    `start ${LISTEN} --endpoints=http://127.0.0.1:1,https://127.0.0.1:2/path`,
    `gateway start ${LISTEN} --endpoints=127.0.0.1:1,127.0.0.1:2`,
    `gateway --endpoints=127.0.0.1:1,127.0.0.1:2 start ${LISTEN}`,
    `gateway --endpoints=127.0.0.1:1,127.0.0.1:2 ${LISTEN} start`,
    `--endpoints=127.0.0.1:1,127.0.0.1:2 gateway ${LISTEN} start`,
    `${LISTEN} --endpoints=127.0.0.1:1,127.0.0.1:2 start`,
  ])("%p listens for the two endpoints", async (line) => {
    const gateway = await started(line);
    const endpoints = ["127.0.0.1:1", "127.0.0.1:2"];
    expect(gateway.lines(READY)).toMatchObject([{ level: "info", endpoints }]);
    expect(gateway.stdout).toBe("");
  });

  test("reads a variable for a flag that is not given, and prefers the flag if both are", async () => {
    const env = { ETCD_GATEWAY_LISTEN_ADDR: "127.0.0.1:0", ETCD_GATEWAY_ENDPOINTS: "127.0.0.1:1" };
    const byVariable = await started("start", { env });
    expect(byVariable.lines(READY)).toMatchObject([{ endpoints: ["127.0.0.1:1"] }]);
    const byFlag = await started("start --endpoints=127.0.0.1:2", { env });
    expect(byFlag.lines(READY)).toMatchObject([{ endpoints: ["127.0.0.1:2"] }]);
  });

  test("logs JSON lines with the leading fields of etcd's", async () => {
    const gateway = await started(`start ${LISTEN} --endpoints=127.0.0.1:1`);
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    const lines = gateway.stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(5);
    for (const line of lines) {
      const { level, ts, caller, msg } = JSON.parse(line);
      expect(line).toStartWith(
        `{"level":"${level}","ts":"${ts}","caller":"${caller}","msg":"${msg}"`,
      );
      expect(level).toBe("info");
      expect(ts).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
      expect(Math.abs(Date.parse(ts) - Date.now())).toBeLessThan(60_000);
      expect(caller).toMatch(/^(service|gateway)\/[a-z-]+\.ts$/);
    }
  });

  test("logs readable lines with --log-format=console", async () => {
    const words = [binary, "start", LISTEN, "--endpoints=127.0.0.1:1", "--log-format=console"];
    const gateway = closers.add(new GatewayProcess(words));
    await until(() => gateway.stderr.includes(READY), "the gateway was ready");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    const lines = gateway.stderr.trimEnd().split("\n");
    const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z /;
    for (const line of lines) expect(line).toMatch(time);
    expect(lines.map((line) => line.replace(time, ""))).toEqual([
      expect.stringMatching(/^INFO  listening address=127\.0\.0\.1:\d+ max-connections=\d+$/),
      "INFO  ready to proxy client requests endpoints=127.0.0.1:1",
      "INFO  stopping signal=SIGTERM",
      "INFO  draining: no new clients relays=0 timeout=10s",
      "INFO  stopped cut=0",
    ]);
  });

  test("logs nothing below --log-level, and warns about flags and variables without effect", async () => {
    const env = { ETCD_GATEWAY_ENDPOINT: "a:1" };
    const line = `start ${LISTEN} --endpoints=127.0.0.1:1 --insecure-discovery`;
    const verbose = await started(line, { env });
    expect(verbose.log.filter(({ level }) => level === "warn").map(({ msg }) => msg)).toEqual([
      "--insecure-discovery has no effect without --discovery-srv",
      "unrecognized environment variable ETCD_GATEWAY_ENDPOINT",
    ]);

    const port = freePort();
    const silent = `start --listen-addr=127.0.0.1:${port} --endpoints=127.0.0.1:1 --log-level=error`;
    const gateway = closers.add(new GatewayProcess([binary, ...words(silent)], { env }));
    const client = await eventually(() => Peer.connect(port), "the gateway accepted");
    client.reset();
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.stderr).toBe("");
  });
});
