// Rows of the flag table: members that are up but useless.
import { parseHealthUrl } from "../core/health-url.ts";
import type { Flag } from "./flag.ts";
import { parseBoolean, parseTimer, parseTimes } from "./flag-values.ts";

export const healthFlags = {
  "health-url": {
    value: "URL",
    summary:
      "Where each endpoint is asked for its health, with {host} and {port} for its own: etcd's /health, or /readyz from 3.5 on. New clients go to healthy endpoints; if there is none, to those that answer, then to the others. For https see --trusted-ca-file, --cert-file and --key-file. Not set: no endpoint is checked.",
    example: "http://{host}:2381/health",
    parse: parseHealthUrl,
  },
  "health-interval": {
    value: "DURATION",
    default: "2s",
    summary:
      "How often each endpoint is checked, give or take a fifth; twice as often while its checks speak against its state. At least 100ms.",
    example: "5s",
    parse: (text: string) => parseTimer(text, 100),
  },
  "health-timeout": {
    value: "DURATION",
    default: "1s",
    summary: "How long an endpoint may take to answer a check. At least 1ms.",
    example: "500ms",
    parse: (text: string) => parseTimer(text, 1),
  },
  "health-rise": {
    value: "COUNT",
    default: "2",
    summary:
      "Checks in a row that must pass before an unhealthy endpoint is healthy again. At least 1.",
    example: "3",
    parse: parseTimes,
  },
  "health-fall": {
    value: "COUNT",
    default: "3",
    summary:
      "Checks in a row that must fail before an endpoint is unhealthy (it answers, but cannot serve) or unresponsive (it does not answer). At least 1.",
    example: "2",
    parse: parseTimes,
  },
  "health-close": {
    value: "",
    default: "true",
    summary:
      "Reset the connections to an endpoint that is not healthy when it fails a check and another endpoint passes, so that clients move there. false: they stay.",
    example: "false",
    parse: parseBoolean,
  },
} satisfies Record<string, Flag<unknown>>;
