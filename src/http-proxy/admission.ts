// Whether a request may go to a member, as far as its head says, and in which form. It
// sends nothing.
import type { IncomingMessage } from "node:http";
import type { HttpProxyMode } from "../core/http-proxy-config.ts";
import { errorAnswer, type OwnAnswer, refusal, unknownHost } from "./answers.ts";
import { HOP_HEADER, valuesOf } from "./headers.ts";
import { type RequestRule, ruleOf } from "./rules.ts";

export interface AdmissionOptions {
  readonly mode: HttpProxyMode;
  /** In lower case. Empty: all. */
  readonly hostWhitelist: readonly string[];
  /** Of this process. */
  readonly hopId: string;
}

/** A request that goes on. */
export interface AdmittedRequest {
  /** A path and perhaps a query. */
  readonly target: string;
  readonly rule: RequestRule;
  /** Whether its body decides if it may go on. */
  readonly isBodyChecked: boolean;
}

const HOP_NAME = HOP_HEADER.toLowerCase();

/** Returns the request as it goes on, or the answer if it does not. */
export function admit(
  request: IncomingMessage,
  { mode, hostWhitelist, hopId }: AdmissionOptions,
): AdmittedRequest | OwnAnswer {
  const { method = "", rawHeaders, httpVersion } = request;
  const target = originForm(request.url ?? "", method);
  const fault =
    faultOf(httpVersion, rawHeaders) ?? (target === undefined ? "bad request target" : undefined);
  if (fault !== undefined) return errorAnswer(400, fault);
  const host = hostnameOf(request.headers.host ?? "");
  if (hostWhitelist.length > 0 && !hostWhitelist.includes(host)) return unknownHost(host);
  if (valuesOf(rawHeaders, HOP_NAME).includes(hopId))
    return errorAnswer(508, "loop detected: an endpoint leads back to this proxy");

  const rule = ruleOf(method, target!);
  const isTxn = rule.access === "txn" && request.headers["content-encoding"] === undefined;
  if (mode === "readonly" && rule.access !== "read" && !isTxn) return refusal(rule.isJson);
  return { target: target!, rule, isBodyChecked: mode === "readonly" && isTxn };
}

/** Returns what is wrong with a head that node:http has accepted; undefined: nothing. */
function faultOf(version: string, headers: readonly string[]): string | undefined {
  if (version !== "1.1" && version !== "1.0") return "unsupported HTTP version";
  const encodings = valuesOf(headers, "transfer-encoding");
  if (encodings.length > 1 || encodings.some((value) => value.toLowerCase() !== "chunked"))
    return "unsupported Transfer-Encoding";
  const hosts = valuesOf(headers, "host").length;
  if (hosts > 1) return "more than one Host header";
  if (hosts === 0 && version === "1.1") return "missing Host header";
  return undefined;
}

/** Returns the host of a Host header, in lower case, without port and brackets. */
function hostnameOf(header: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header.trim()) ?? [];
  return (bracketed ?? plain ?? header).toLowerCase();
}

/** Returns the path and query of a target (RFC 9112, section 3.2); undefined if it has none. */
function originForm(url: string, method: string): string | undefined {
  if (url.startsWith("/")) return isPlain(url) ? url : undefined;
  if (url === "*" && method === "OPTIONS") return url;
  const match = /^https?:\/\/[^/?#]*([/?].*)?$/is.exec(url);
  if (match === null) return undefined;
  const [, path = "/"] = match;
  const target = path.startsWith("?") ? `/${path}` : path;
  return isPlain(target) ? target : undefined;
}

/** Whether a target has neither a fragment nor bytes that node:http refuses to send. */
function isPlain(target: string): boolean {
  return /^[\x21\x22\x24-\x7e\x80-\xff]*$/.test(target);
}
