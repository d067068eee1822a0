// Sends requests to the admin server of a running gateway, at its --metrics-addr.
import { formatHostPort, type HostPort } from "../core/address.ts";
import { UsageError } from "../core/usage-error.ts";
import type { Answer } from "../os/http.ts";

const TIMEOUT_MS = 3000;

/** Returns the address to send requests to. @throws {UsageError} if there is none. */
export function adminAddress(metrics: HostPort | undefined): HostPort {
  if (metrics === undefined)
    throw new UsageError(
      "Missing --metrics-addr: give it as the running gateway has it, for example --metrics-addr=127.0.0.1:9379",
    );
  if (metrics.port === 0)
    throw new UsageError(
      'Cannot ask at --metrics-addr port 0: give the port that the gateway was given ("serving metrics and status" in its log)',
    );
  return metrics;
}

/** @throws {Error} with a `code` if there is no answer within three seconds. */
export async function ask(address: HostPort, path: string): Promise<Answer> {
  const { host, port } = address;
  // It listens on every address, IPv4 among them: this machine's own will do.
  const isAny = host === "" || host === "0.0.0.0" || host === "::";
  // Loaded here: no other command needs HTTP before it runs.
  const { send } = await import("../os/http.ts");
  const target = { host: isAny ? "127.0.0.1" : host, port };
  return await send({
    address: target,
    names: [target.host],
    tls: undefined,
    path,
    timeoutMs: TIMEOUT_MS,
  });
}

/** Returns the error for an answer that does not come from a gateway. */
export function notAGateway(): Error {
  return Object.assign(new Error(), { code: "EPROTO" });
}

/** Returns the message for a request that failed. */
export function noAnswer(address: HostPort, error: unknown): string {
  const { code = String(error) } = error as { code?: string };
  const why: Record<string, string> = {
    ECONNREFUSED: "connection refused; does the gateway run with this --metrics-addr?",
    ETIMEDOUT: "no answer within 3s",
    EPROTO: "what answers there is not etcd-gateway",
    EMSGSIZE: "the answer is longer than 1 MiB",
    EADDRNOTAVAIL: "this machine has no such address, or no such port",
  };
  return `Cannot ask the gateway at ${formatHostPort(address)}: ${why[code] ?? code}`;
}
