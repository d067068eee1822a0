import { describe, expect, test } from "bun:test";
import { type FlagName, flagNames, flags, variableOf } from "../../src/cli/flags.ts";
import { readConfig } from "../../src/cli/read-config.ts";
import { UsageError } from "../../src/config/usage-error.ts";

const none = new Map<FlagName, string>();
const given = (name: FlagName, text: string) => new Map([[name, text]]);

describe("readConfig()", () => {
  test("gives etcd's defaults when nothing is set", () => {
    expect(readConfig(none, {})).toEqual({
      config: {
        endpoints: [{ host: "127.0.0.1", port: 2379 }],
        listen: { host: "127.0.0.1", port: 23790 },
        retryDelayMs: 60_000,
        dialTimeoutMs: 3000,
        drainTimeoutMs: 10_000,
        maxConnections: 0,
        logLevel: "info",
        logFormat: "auto",
      },
      warnings: [],
    });
  });

  test("lets the flag win over the variable, and the variable over the default", () => {
    const environment = { ETCD_GATEWAY_RETRY_DELAY: "5s" };
    expect(readConfig(none, environment).config.retryDelayMs).toBe(5000);
    expect(readConfig(given("retry-delay", "7s"), environment).config.retryDelayMs).toBe(7000);
  });

  test("does not mix endpoints of the flag with those of the variable", () => {
    const environment = { ETCD_GATEWAY_ENDPOINTS: "a:1,b:2" };
    expect(readConfig(given("endpoints", "c:3"), environment).config.endpoints).toEqual([
      { host: "c", port: 3 },
    ]);
  });

  test("takes an empty variable as not set", () => {
    expect(readConfig(none, { ETCD_GATEWAY_RETRY_DELAY: "" }).config.retryDelayMs).toBe(60_000);
  });

  test.each(["discovery-srv", "discovery-srv-name", "trusted-ca-file"] as const)(
    "takes an empty --%s as not set, as etcd does",
    (name) => {
      expect(readConfig(given(name, ""), {}).warnings).toEqual([]);
    },
  );

  test("knows a variable for every flag", () => {
    expect(flagNames.map(variableOf)).toEqual([
      "ETCD_GATEWAY_ENDPOINTS",
      "ETCD_GATEWAY_LISTEN_ADDR",
      "ETCD_GATEWAY_RETRY_DELAY",
      "ETCD_GATEWAY_DIAL_TIMEOUT",
      "ETCD_GATEWAY_DRAIN_TIMEOUT",
      "ETCD_GATEWAY_MAX_CONNECTIONS",
      "ETCD_GATEWAY_DISCOVERY_SRV",
      "ETCD_GATEWAY_DISCOVERY_SRV_NAME",
      "ETCD_GATEWAY_INSECURE_DISCOVERY",
      "ETCD_GATEWAY_TRUSTED_CA_FILE",
      "ETCD_GATEWAY_LOG_LEVEL",
      "ETCD_GATEWAY_LOG_FORMAT",
    ]);
  });

  test("accepts the example of every flag's help", () => {
    for (const name of flagNames)
      expect(() => flags[name].parse(flags[name].example)).not.toThrow();
  });

  test.each(["1", "t", "T", "TRUE", "true", "True"])("reads the switch %p as true", (text) => {
    expect(readConfig(given("insecure-discovery", text), {}).warnings).toEqual([
      "--insecure-discovery has no effect without --discovery-srv",
    ]);
  });

  test.each(["0", "f", "F", "FALSE", "false", "False"])("reads the switch %p as false", (text) => {
    expect(readConfig(given("insecure-discovery", text), {}).warnings).toEqual([]);
  });

  const refused: [name: FlagName, text: string, message: string][] = [
    ["retry-delay", "123", 'missing unit, for example "30s"'],
    ["retry-delay", "0", 'shorter than 1ms, for example "30s"'],
    ["retry-delay", "-5s", 'shorter than 1ms, for example "30s"'],
    ["retry-delay", "999us", 'shorter than 1ms, for example "30s"'],
    ["retry-delay", "597h", 'longer than 596h (24 days), for example "30s"'],
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
    ["endpoints", "", "no endpoint in it"],
    ["endpoints", " , ", "no endpoint in it"],
    ["endpoints", "h", "missing port"],
    ["endpoints", "a:1,h,b:2", '"h": missing port'],
  ];
  test.each(refused)("refuses --%s %p", (name, text, fact) => {
    expect(() => readConfig(given(name, text), {})).toThrow(UsageError);
    expect(() => readConfig(given(name, text), {})).toThrow(`Cannot parse --${name} "${text}": `);
    expect(() => readConfig(given(name, text), {})).toThrow(fact);
  });

  test("names the variable when that is what is wrong", () => {
    expect(() => readConfig(none, { ETCD_GATEWAY_RETRY_DELAY: "123" })).toThrow(
      'Cannot parse ETCD_GATEWAY_RETRY_DELAY (--retry-delay) "123": missing unit, for example "30s"',
    );
  });

  test("refuses SRV discovery, which is not yet supported", () => {
    expect(() => readConfig(given("discovery-srv", "example.com"), {})).toThrow(
      'Cannot use --discovery-srv "example.com": SRV discovery is not yet supported',
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
    expect(readConfig(none, environment).warnings).toEqual([
      "unrecognized environment variable ETCD_GATEWAY_ENDPOINT",
    ]);
  });
});
