// The rules for the header lists of requests, responses and trailers (RFC 9113, section 8).
// A list that breaks one makes its message malformed, which is a stream error.
import { headerListBytes, type HeaderList } from "./header-list.ts";

/** Connection-specific fields, which HTTP/2 does not have (RFC 9113, section 8.2.2). */
const CONNECTION_FIELDS = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

// Of RFC 9113, section 8.2.1: what a name and a value must not contain.
const INVALID_NAME = /[^!-9;-@[-~]/;
// oxlint-disable-next-line no-control-regex -- these are the characters that are forbidden
const INVALID_VALUE = /[\0\r\n]|^[\t ]|[\t ]$/;

const REQUEST_FIELDS = [":method", ":scheme", ":path", ":authority"];
const RESPONSE_FIELDS = [":status"];

// Larger lists are not remembered, so that idle connections keep little.
const MAX_REMEMBERED_BYTES = 1024;

/**
 * Checks the lists of one connection. Peers repeat their lists, and a decoder returns the
 * same object for a block that repeats, so the last list of each kind that was not malformed
 * is remembered.
 */
export class HeaderRules {
  #request: HeaderList | undefined;
  #response: HeaderList | undefined;
  #trailers: HeaderList | undefined;

  /** Returns why the header list of a request is malformed; undefined: it is not. */
  requestFault(list: HeaderList): string | undefined {
    if (list === this.#request) return undefined;
    // CONNECT has no scheme and no path (RFC 9113, section 8.5); no proxy of etcd serves it.
    const fault = listFault(list, REQUEST_FIELDS, 3);
    if (isRepeatable(list, fault)) this.#request = list;
    return fault;
  }

  /** Returns why the header list of a response is malformed; undefined: it is not. */
  responseFault(list: HeaderList): string | undefined {
    if (list === this.#response) return undefined;
    const fault = listFault(list, RESPONSE_FIELDS, 1);
    if (isRepeatable(list, fault)) this.#response = list;
    return fault;
  }

  /** Returns why a list of trailers is malformed; undefined: it is not. */
  trailersFault(list: HeaderList): string | undefined {
    if (list === this.#trailers) return undefined;
    const fault = listFault(list, [], 0);
    if (isRepeatable(list, fault)) this.#trailers = list;
    return fault;
  }
}

function isRepeatable(list: HeaderList, fault: string | undefined): boolean {
  return fault === undefined && headerListBytes(list) <= MAX_REMEMBERED_BYTES;
}

/** Of `pseudoFields`, each is allowed once, and the first `required` must be there. */
function listFault(
  list: HeaderList,
  pseudoFields: readonly string[],
  required: number,
): string | undefined {
  let isRegular = false;
  let seen = 0;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!;
    const value = list[i + 1]!;
    if (name.charCodeAt(0) === COLON) {
      const bit = 1 << pseudoFields.indexOf(name); // 1 << 31 for one that is not there
      if (isRegular) return "a pseudo-header field follows a regular one";
      if (bit < 0 || (seen & bit) !== 0) return `${name} is not allowed here`;
      if (name === ":path" && value === "") return ":path is empty";
      seen |= bit;
    } else {
      isRegular = true;
      const fault = fieldFault(name, value);
      if (fault !== undefined) return fault;
    }
    if (INVALID_VALUE.test(value)) return `the value of ${name} is invalid`;
  }

  const missing = pseudoFields.findIndex((_, i) => i < required && (seen & (1 << i)) === 0);
  return missing < 0 ? undefined : `${pseudoFields[missing]} is missing`;
}

function fieldFault(name: string, value: string): string | undefined {
  if (name === "" || INVALID_NAME.test(name)) return "a field name is invalid";
  if (CONNECTION_FIELDS.has(name)) return `${name} is not allowed`;
  if (name === "te" && value !== "trailers") return "te is not trailers";
  return undefined;
}

const COLON = 0x3a;
