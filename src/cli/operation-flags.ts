// Rows of the flag table: the program, whatever it carries.
import type { LogFormat, LogLevel } from "../core/gateway-config.ts";
import type { Flag } from "./flag.ts";
import { parseListenAddress } from "../core/address.ts";
import { oneOf, parseBoolean, parseText } from "./flag-values.ts";

export const operationFlags = {
  "config-file": {
    value: "FILE",
    summary:
      "YAML file whose keys are these flags' names without dashes. A flag or variable wins over it. SIGHUP reads it again.",
    example: "/etc/etcd-gateway.yaml",
    parse: parseText,
  },
  "metrics-addr": {
    value: "HOST:PORT",
    summary:
      "Where to tell how the gateway is: /metrics for Prometheus, /health, /livez, /readyz, /status, and a page. Anybody who reaches it may read it. Not set: nothing is opened.",
    example: "127.0.0.1:9379",
    parse: parseListenAddress,
  },
  "log-level": {
    value: "LEVEL",
    default: "info",
    summary: "The least severe messages to log: debug, info, warn or error.",
    example: "warn",
    parse: oneOf<LogLevel>("debug", "info", "warn", "error"),
  },
  "log-format": {
    value: "FORMAT",
    default: "auto",
    summary:
      "json: one object a line; console: lines for people; auto: console if standard error is a terminal, else json.",
    example: "json",
    parse: oneOf<LogFormat>("auto", "json", "console"),
  },
  "access-log": {
    value: "",
    default: "false",
    summary:
      "Log a line for each client that was let in, when it is over: who, which endpoint, times, bytes, and how it ended. At level info.",
    example: "true",
    parse: parseBoolean,
  },
  output: {
    value: "FORMAT",
    default: "table",
    onlyFor: ["check", "status"],
    summary: "What to print: a table for people, or json for scripts.",
    example: "json",
    parse: oneOf<"table" | "json">("table", "json"),
  },
  watch: {
    value: "",
    default: "false",
    onlyFor: ["status"],
    summary: "Print it anew every two seconds until interrupted.",
    example: "true",
    parse: parseBoolean,
  },
} satisfies Record<string, Flag<unknown>>;
