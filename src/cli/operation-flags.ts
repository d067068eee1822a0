// Rows of the flag table: the program, whatever it carries.
import type { LogFormat, LogLevel } from "../config/gateway-config.ts";
import type { Flag } from "./flag.ts";
import { oneOf, parseText } from "./flag-values.ts";

export const operationFlags = {
  "config-file": {
    value: "FILE",
    summary:
      "YAML file whose keys are these flags' names without dashes. A flag or variable wins over it. SIGHUP reads it again.",
    example: "/etc/etcd-gateway.yaml",
    parse: parseText,
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
  output: {
    value: "FORMAT",
    default: "table",
    onlyFor: "check",
    summary: "What to print: a table for people, or json for scripts.",
    example: "json",
    parse: oneOf<"table" | "json">("table", "json"),
  },
} satisfies Record<string, Flag<unknown>>;
