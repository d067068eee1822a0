// The URL of health checks, in which {host} and {port} stand for those of the
// endpoint.
import type { Scheme } from "./endpoint-spec.ts";

export interface HealthUrl {
  readonly scheme: Scheme;
  /** Undefined: the endpoint's port. */
  readonly port: number | undefined;
  /** Path and query, such as `/health`. */
  readonly path: string;
}

/** Parses --health-url. @throws {RangeError} whose message is only the fact. */
export function parseHealthUrl(text: string): HealthUrl {
  const match = /^(https?):\/\/(\{host\}|[^/:]*)(?::(\{port\}|\d{1,5}))?(\/\S*)?$/i.exec(text);
  if (match === null) throw new RangeError("not a URL such as http://{host}:2381/health");
  const [, scheme, host, portText, path = "/"] = match;
  if (host !== "{host}") throw new RangeError(`its host is "${host}", not {host}`);
  const isSecure = scheme!.toLowerCase() === "https";
  const port = portText === "{port}" ? undefined : Number(portText ?? (isSecure ? 443 : 80));
  if (port === 0 || (port !== undefined && port > 65535))
    throw new RangeError(`port "${portText}" is not a number from 1 to 65535`);
  return { scheme: isSecure ? "https" : "http", port, path };
}
