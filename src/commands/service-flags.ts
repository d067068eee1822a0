// Flags of every proxy as a long-running process: where it listens, what it logs, and
// where it reports its state.
import { type HostPort, parseListenAddress } from "../core/address.ts";
import type { LogFormat, LogLevel } from "../core/gateway-config.ts";
import type { FlagTable } from "../cli/flag.ts";
import { oneOf, parseBoolean, parseText } from "../cli/flag-values.ts";

/** Where clients connect. */
export const listenFlags = {
  "listen-addr": {
    value: "HOST:PORT",
    default: "127.0.0.1:23790",
    key: "listen",
    isFixed: true,
    summary: "Where applications connect. Without a host: every address of this machine.",
    example: "127.0.0.1:23790",
    parse: parseListenAddress,
  },
  "reuse-port": {
    value: "",
    default: "false",
    key: "reusePort",
    isFixed: true,
    summary:
      "Let another gateway with this flag listen on the same address (SO_REUSEPORT): start the new one, then stop the old one, and no client is refused.",
    example: "true",
    parse: parseBoolean,
  },
} as const satisfies FlagTable;

/** Configuration, logs and the admin server. */
export const operationFlags = {
  "config-file": {
    value: "FILE",
    isFileKey: false,
    summary:
      "YAML file whose keys are these flags' names without dashes. A flag or variable wins over it. SIGHUP reads it again.",
    example: "/etc/etcd-gateway.yaml",
    parse: parseText,
  },
  "metrics-addr": {
    value: "HOST:PORT",
    key: "metrics",
    isFixed: true,
    conflict: sameAsListen,
    summary:
      "Where to serve metrics and status: /metrics for Prometheus, /health, /livez, /readyz, /status, and a page. Every client that reaches it may read it. Not set: nothing is opened.",
    example: "127.0.0.1:9379",
    parse: parseListenAddress,
  },
  "log-level": {
    value: "LEVEL",
    default: "info",
    key: "logLevel",
    summary: "The least severe messages to log: debug, info, warn or error.",
    example: "warn",
    parse: oneOf<LogLevel>("debug", "info", "warn", "error"),
  },
  "log-format": {
    value: "FORMAT",
    default: "auto",
    key: "logFormat",
    isFixed: true,
    summary:
      "json: one object a line; console: lines for people; auto: console if standard error is a terminal, else json.",
    example: "json",
    parse: oneOf<LogFormat>("auto", "json", "console"),
  },
  "access-log": {
    value: "",
    default: "false",
    key: "hasAccessLog",
    summary:
      "Log a line for each client that was let in, when it is over: who, which endpoint, times, bytes, and how it ended. At level info.",
    example: "true",
    parse: parseBoolean,
  },
} as const satisfies FlagTable;

/** Two sockets cannot listen on one address. */
function sameAsListen(metrics: HostPort, values: Readonly<Record<string, unknown>>) {
  const listen = values["listen-addr"] as HostPort;
  if (metrics.port === 0 || metrics.port !== listen.port || hostOf(metrics) !== hostOf(listen))
    return undefined;
  return "it is --listen-addr, where clients connect; choose another port";
}

/** An address without a host is every address, as with `::`. */
function hostOf({ host }: HostPort): string {
  return host === "" ? "::" : host;
}
