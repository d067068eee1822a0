import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { UsageError } from "../../src/core/usage-error.ts";
import { StartError } from "../../src/core/start-error.ts";
import { variableOf } from "../../src/cli/flag.ts";
import type { Environment } from "../../src/cli/read-config.ts";
import { flagNamed, flagNames, readConfig } from "../support/flags.ts";

const none = new Map<string, string>();
const given = (name: string, text: string) => new Map([[name, text]]);

function read(
  flagTexts: ReadonlyMap<string, string>,
  environment: Environment,
  files: Record<string, string> = {},
) {
  const readFile = (path: string) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error("no file"), { code: "ENOENT" });
    return text;
  };
  return readConfig({ given: flagTexts, environment, readFile });
}

describe("readConfig()", () => {
  test("gives etcd's defaults when nothing is set", () => {
    const { config, warnings } = read(none, {});
    expect({ config, warnings }).toEqual({
      config: {
        endpoints: [parseStaticEndpoint("127.0.0.1:2379")],
        srv: undefined,
        discoveryServers: [],
        discoveryRefreshMs: 30_000,
        memberSyncMs: 0,
        tls: { trustedCaFile: undefined, certFile: undefined, keyFile: undefined },
        credentials: undefined,
        policy: "round-robin",
        healthUrl: undefined,
        healthIntervalMs: 2000,
        healthTimeoutMs: 1000,
        healthRise: 2,
        healthFall: 3,
        isClosedWhenUnhealthy: true,
        listen: { host: "127.0.0.1", port: 23790 },
        retryDelayMs: 60_000,
        dialTimeoutMs: 3000,
        attemptDelayMs: 250,
        keepAliveMs: 15_000,
        userTimeoutMs: 30_000,
        idleTimeoutMs: 0,
        drainTimeoutMs: 10_000,
        maxConnections: 0,
        maxConnectionsPerClient: 0,
        maxBufferBytes: 64 * 1024 * 1024,
        metrics: undefined,
        allowedNetworks: [],
        logLevel: "info",
        logFormat: "auto",
        hasAccessLog: false,
        reusePort: false,
      },
      warnings: [],
    });
  });

  test("lets the flag win over the variable, and the variable over the default", () => {
    const environment = { ETCD_GATEWAY_RETRY_DELAY: "5s" };
    expect(read(none, environment).config.retryDelayMs).toBe(5000);
    expect(read(given("retry-delay", "7s"), environment).config.retryDelayMs).toBe(7000);
  });

  test("does not mix endpoints of the flag with those of the variable", () => {
    const environment = { ETCD_GATEWAY_ENDPOINTS: "a:1,b:2" };
    expect(read(given("endpoints", "c:3"), environment).config.endpoints).toEqual([
      parseStaticEndpoint("c:3"),
    ]);
  });

  test("takes an empty variable as not set", () => {
    expect(read(none, { ETCD_GATEWAY_RETRY_DELAY: "" }).config.retryDelayMs).toBe(60_000);
  });

  test.each(["discovery-srv", "discovery-srv-name", "trusted-ca-file"] as const)(
    "takes an empty --%s as not set, as etcd does",
    (name) => {
      expect(read(given(name, ""), {}).warnings).toEqual([]);
    },
  );

  test("knows a variable for every flag", () => {
    expect(flagNames.map(variableOf)).toEqual([
      "ETCD_GATEWAY_ENDPOINTS",
      "ETCD_GATEWAY_LISTEN_ADDR",
      "ETCD_GATEWAY_REUSE_PORT",
      "ETCD_GATEWAY_POLICY",
      "ETCD_GATEWAY_RETRY_DELAY",
      "ETCD_GATEWAY_DIAL_TIMEOUT",
      "ETCD_GATEWAY_CONNECTION_ATTEMPT_DELAY",
      "ETCD_GATEWAY_KEEPALIVE_TIME",
      "ETCD_GATEWAY_TCP_USER_TIMEOUT",
      "ETCD_GATEWAY_IDLE_TIMEOUT",
      "ETCD_GATEWAY_DRAIN_TIMEOUT",
      "ETCD_GATEWAY_MAX_CONNECTIONS",
      "ETCD_GATEWAY_MAX_CONNECTIONS_PER_CLIENT",
      "ETCD_GATEWAY_MAX_BUFFER_MEMORY",
      "ETCD_GATEWAY_ALLOW_CIDR",
      "ETCD_GATEWAY_DISCOVERY_SRV",
      "ETCD_GATEWAY_DISCOVERY_SRV_NAME",
      "ETCD_GATEWAY_INSECURE_DISCOVERY",
      "ETCD_GATEWAY_DISCOVERY_REFRESH_INTERVAL",
      "ETCD_GATEWAY_DISCOVERY_SERVERS",
      "ETCD_GATEWAY_ENDPOINTS_AUTO_SYNC_INTERVAL",
      "ETCD_GATEWAY_TRUSTED_CA_FILE",
      "ETCD_GATEWAY_CERT_FILE",
      "ETCD_GATEWAY_KEY_FILE",
      "ETCD_GATEWAY_USER",
      "ETCD_GATEWAY_PASSWORD",
      "ETCD_GATEWAY_HEALTH_URL",
      "ETCD_GATEWAY_HEALTH_INTERVAL",
      "ETCD_GATEWAY_HEALTH_TIMEOUT",
      "ETCD_GATEWAY_HEALTH_RISE",
      "ETCD_GATEWAY_HEALTH_FALL",
      "ETCD_GATEWAY_HEALTH_CLOSE",
      "ETCD_GATEWAY_CONFIG_FILE",
      "ETCD_GATEWAY_METRICS_ADDR",
      "ETCD_GATEWAY_LOG_LEVEL",
      "ETCD_GATEWAY_LOG_FORMAT",
      "ETCD_GATEWAY_ACCESS_LOG",
      "ETCD_GATEWAY_OUTPUT",
      "ETCD_GATEWAY_WATCH",
    ]);
  });

  test("accepts the example of every flag's help", () => {
    for (const name of flagNames)
      expect(() => flagNamed(name).parse(flagNamed(name).example)).not.toThrow();
  });

  test.each(["1", "t", "T", "TRUE", "true", "True"])("reads the switch %p as true", (text) => {
    expect(read(given("insecure-discovery", text), {}).warnings).toEqual([
      "--insecure-discovery has no effect without --discovery-srv",
    ]);
  });

  test.each(["0", "f", "F", "FALSE", "false", "False"])("reads the switch %p as false", (text) => {
    expect(read(given("insecure-discovery", text), {}).warnings).toEqual([]);
  });

  const refused: [name: string, text: string, message: string][] = [
    ["retry-delay", "123", 'missing unit, for example "30s"'],
    ["retry-delay", "0", 'shorter than 1ms, for example "30s"'],
    ["retry-delay", "-5s", 'shorter than 1ms, for example "30s"'],
    ["retry-delay", "999us", 'shorter than 1ms, for example "30s"'],
    ["retry-delay", "597h", 'longer than 596h (24 days), for example "30s"'],
    ["keepalive-time", "10h", 'longer than 9h6m7s (the kernel\'s limit), for example "1m"'],
    ["keepalive-time", "600h", 'longer than 9h6m7s (the kernel\'s limit), for example "1m"'],
    ["tcp-user-timeout", "597h", 'longer than 596h (24 days), for example "10s"'],
    ["dial-timeout", "0s", 'shorter than 1ms, for example "500ms"'],
    ["drain-timeout", "-1ns", 'below 0, for example "1m30s"'],
    ["max-connections", "-1", 'not a whole number from 0 to 999999999, for example "2000"'],
    ["max-connections", "1.5", 'not a whole number from 0 to 999999999, for example "2000"'],
    ["max-connections", "1e3", 'not a whole number from 0 to 999999999, for example "2000"'],
    ["insecure-discovery", "yes", 'neither true nor false, for example "true"'],
    ["log-level", "INFO", 'not one of debug, info, warn, error, for example "warn"'],
    ["log-format", "text", 'not one of auto, json, console, for example "json"'],
    ["listen-addr", "23790", 'missing port, for example "127.0.0.1:23790"'],
    ["discovery-srv", "a b", 'not a DNS domain, for example "example.com"'],
    ["discovery-srv-name", "a.b", "not a name of 1 to 46 letters, digits and hyphens"],
    ["discovery-refresh-interval", "99ms", 'shorter than 100ms, and not 0, for example "1m"'],
    ["endpoints-auto-sync-interval", "-1s", 'shorter than 100ms, and not 0, for example "1m"'],
    ["discovery-servers", "dns.test:53", '"dns.test" is not an IP address'],
    ["discovery-servers", "10.0.0.53:0", "port 0 is not a port to dial"],
    ["discovery-servers", "10.0.0.1,x:1", '"x:1": "x" is not an IP address'],
    ["allow-cidr", "10.0.0.0/33", '"/33" is not a prefix length from 0 to 32'],
    ["allow-cidr", "10.0.0/8", "not a network"],
    ["allow-cidr", "10.0.0.0/8/8", "not a network"],
    ["allow-cidr", "::1/129", '"/129" is not a prefix length from 0 to 128'],
    ["allow-cidr", "10.0.0.0/", '"/" is not a prefix length from 0 to 32'],
    ["allow-cidr", "example.com/8", "not a network"],
    ["policy", "random", "not one of round-robin, least-connections"],
    ["endpoints", "", "no endpoint in it"],
    ["endpoints", " , ", "no endpoint in it"],
    ["endpoints", "h", "missing port"],
    ["endpoints", "a:1,h,b:2", '"h": missing port'],
  ];
  test.each(refused)("refuses --%s %p", (name, text, fact) => {
    expect(() => read(given(name, text), {})).toThrow(UsageError);
    expect(() => read(given(name, text), {})).toThrow(`Cannot parse --${name} "${text}": `);
    expect(() => read(given(name, text), {})).toThrow(fact);
  });

  test("names the variable when that is what is wrong", () => {
    expect(() => read(none, { ETCD_GATEWAY_RETRY_DELAY: "123" })).toThrow(
      'Cannot parse ETCD_GATEWAY_RETRY_DELAY (--retry-delay) "123": missing unit, for example "30s"',
    );
  });

  const BREAK =
    "it ends with a line break, as a value made with echo does; use printf, or kubectl create secret --from-literal";
  test.each<[string, text: string, fault: string]>([
    ["password", "secret\n", `: ${BREAK}`],
    ["password", "secret\r\n", `: ${BREAK}`],
    ["password", "se\ncret", ": it contains a control character (U+000A), such as a line break or a tab"],
    ["password", "\x7fsecret", ": it contains a control character (U+007F), such as a line break or a tab"],
    ["user", "root\n", ` "root\\n": ${BREAK}`],
    ["retry-delay", "5s\n", ` "5s\\n": ${BREAK}`],
    ["endpoints", "a:1,\tb:2", ' "a:1,\\tb:2": it contains a control character (U+0009), such as a line break or a tab'],
    ["endpoints", "http://root:se\ncret@a:1", ' "http://a:1": it contains a control character (U+000A), such as a line break or a tab'],
    ["config-file", "/gw.yaml\n", ` "/gw.yaml\\n": ${BREAK}`],
  ])("refuses a control character in the variable or flag of %s: %p", (name, text, fault) => {
    const variable = variableOf(name);
    expect(() => read(none, { [variable]: text })).toThrow(
      new UsageError(`Cannot parse ${variable} (--${name})${fault}`),
    );
    expect(() => read(given(name, text), {})).toThrow(
      new UsageError(`Cannot parse --${name}${fault}`),
    );
  }); // prettier-ignore

  test("with SRV discovery keeps endpoints only if --endpoints is given", () => {
    const srv = { ETCD_GATEWAY_DISCOVERY_SRV: "example.com" };
    expect(read(none, srv).config).toMatchObject({
      endpoints: [],
      srv: { domain: "example.com", name: undefined, isInsecure: false },
    });
    const { endpoints } = read(given("endpoints", "127.0.0.1:2379"), srv).config;
    expect(endpoints).toEqual([parseStaticEndpoint("127.0.0.1:2379")]);
  });

  test("keeps the scheme of an endpoint, for asking the member list", () => {
    const text = "http://a:1,https://b:2,c:3,HTTPS://d:4,grpc://e:5";
    const { endpoints } = read(given("endpoints", text), {}).config;
    expect(endpoints.map(({ scheme }) => scheme)).toEqual([
      "http",
      "https",
      undefined,
      "https",
      undefined,
    ]);
  });

  test("takes a DNS server without a port at port 53", () => {
    const text = "10.0.0.53,::1,[fd00::53]:5353,10.0.0.54:54";
    expect(read(given("discovery-servers", text), {}).config.discoveryServers).toEqual([
      { host: "10.0.0.53", port: 53 },
      { host: "::1", port: 53 },
      { host: "fd00::53", port: 5353 },
      { host: "10.0.0.54", port: 54 },
    ]);
  });

  test.each<[string, string, string]>([
    ["cert-file", "/c", 'Cannot use --cert-file "/c" alone: --key-file is missing'],
    ["key-file", "/k", 'Cannot use --key-file "/k" alone: --cert-file is missing'],
    ["user", "u", 'Cannot use --user "u" alone: --password is missing'],
    ["password", "secret", "Cannot use --password alone: --user is missing"],
  ])("refuses half of a pair: --%s", (name, text, message) => {
    expect(() => read(given(name, text), {})).toThrow(new UsageError(message));
  });

  test("refuses the same address for clients and metrics", () => {
    expect(() => read(given("metrics-addr", "127.0.0.1:23790"), {})).toThrow(
      'Cannot use --metrics-addr "127.0.0.1:23790": it is --listen-addr, where clients connect; choose another port',
    );
  });

  test("does not repeat credentials of a value that it cannot parse", () => {
    expect(() => read(given("endpoints", "http://root:hush@h:99999"), {})).toThrow(
      'Cannot parse --endpoints "http://h:99999": ',
    );
  });

  test.each<[string, string, string]>([
    ["discovery-srv-name", "x", "--discovery-srv"],
    ["discovery-refresh-interval", "5s", "--discovery-srv"],
    ["trusted-ca-file", "/ca", "--discovery-srv or --endpoints-auto-sync-interval or --health-url"],
  ])("warns that --%s alone has no effect", (name, text, partners) => {
    expect(read(given(name, text), {}).warnings).toEqual([
      `--${name} has no effect without ${partners}`,
    ]);
  });

  test("warns that --user and --password have no effect without --endpoints-auto-sync-interval", () => {
    const pair = new Map([
      ["user", "u"],
      ["password", "p"],
    ]);
    expect(read(pair, {}).warnings).toEqual([
      "--user has no effect without --endpoints-auto-sync-interval",
    ]);
  });

  test("names only flags of the same table in rules", () => {
    for (const { requires = [], together, noDefaultWith } of flagNames.map(flagNamed))
      for (const name of [...requires, together, noDefaultWith].filter(
        (other) => other !== undefined,
      ))
        expect(flagNames).toContain(name);
  });

  test("has no section for a flag that a reload keeps", () => {
    const fixed = flagNames.filter((name) => flagNamed(name).isFixed);
    expect(fixed).toEqual(["listen-addr", "reuse-port", "metrics-addr", "log-format"]);
    for (const name of fixed) expect(flagNamed(name).section).toBeUndefined();
  });

  test("takes flag over variable over file over default", () => {
    const files = { "/gw.yaml": "retry-delay: 1s\ndial-timeout: 2s\ndrain-timeout: 3s\n" };
    const environment = {
      ETCD_GATEWAY_CONFIG_FILE: "/gw.yaml",
      ETCD_GATEWAY_DIAL_TIMEOUT: "4s",
      ETCD_GATEWAY_DRAIN_TIMEOUT: "5s",
    };
    expect(read(given("drain-timeout", "6s"), environment, files).config).toMatchObject({
      retryDelayMs: 1000,
      dialTimeoutMs: 4000,
      drainTimeoutMs: 6000,
      maxConnections: 0,
    });
  });

  test("names the config file that is not there", () => {
    expect(() => read(given("config-file", "/gone.yaml"), {})).toThrow(
      new StartError('Cannot read --config-file "/gone.yaml": there is no such file'),
    );
  });

  test("warns of a misspelt variable, and not of those that Kubernetes makes", () => {
    const environment = {
      ETCD_GATEWAY_ENDPOINT: "a:1",
      ETCD_GATEWAY_SERVICE_HOST: "10.0.0.1",
      ETCD_GATEWAY_PORT: "tcp://10.0.0.1:23790",
      ETCD_GATEWAY_PORT_23790_TCP_ADDR: "10.0.0.1",
      ETCD_NAME: "infra0",
    };
    expect(read(none, environment).warnings).toEqual([
      "unrecognized environment variable ETCD_GATEWAY_ENDPOINT",
    ]);
  });
});
