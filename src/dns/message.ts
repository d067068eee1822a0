// The wire format of DNS (RFC 1035, 6891): encodes queries and decodes answers. This file
// checks where each record begins and ends, because dns-packet, which decodes names and
// record data, trusts the lengths and pointers in a message.
import * as packet from "dns-packet";
import { absolute } from "./domain-name.ts";

export type QuestionType = "A" | "AAAA" | "SRV";

export interface Question {
  /** An absolute name: it ends with a dot. */
  readonly name: string;
  readonly type: QuestionType;
}

/** The position of a record in a message. `at` and `length` refer to the record's data. */
export interface RecordRef {
  readonly type: number;
  readonly ttlSeconds: number;
  readonly at: number;
  readonly length: number;
}

/** An answer whose header and question were decoded. */
export interface Message {
  readonly bytes: Uint8Array;
  readonly isTruncated: boolean;
  readonly isAuthoritative: boolean;
  readonly isRecursionAvailable: boolean;
  /** The response code, including the bits that EDNS0 adds. */
  readonly responseCode: number;
  /** Whether the additional section has records. */
  readonly hasAdditional: boolean;
  /** The answer records up to the first malformed one. */
  readonly answers: readonly RecordRef[];
  /** Whether an answer record is malformed, or the message does not have exactly one question. */
  readonly isMalformed: boolean;
}

/** Record types (RFC 1035, section 3.2.2; RFC 3596; RFC 2782). */
export const TYPES: Readonly<Record<QuestionType, number>> = { A: 1, AAAA: 28, SRV: 33 };
const TYPE_OPT = 41; // RFC 6891
const CLASS_IN = 1;

/** The largest UDP answer that a query permits (RFC 6891): Go's value, from https://www.dnsflagday.net/2020/. */
export const MAX_UDP_BYTES = 1232;

const HEADER_BYTES = 12;

// Compression pointers in one name: Go's limit (golang.org/x/net/dns/dnsmessage). Without
// it, long chains of pointers would keep the process busy.
const MAX_POINTERS = 10;

/** Encodes a query that requests recursion and uses EDNS0. */
export function encodeQuery(id: number, { name, type }: Question, trustAd: boolean): Uint8Array {
  return packet.encode({
    type: "query",
    id,
    flags: packet.RECURSION_DESIRED | (trustAd ? packet.AUTHENTIC_DATA : 0),
    questions: [{ type, class: "IN", name }],
    additionals: [
      // The types require every field of an OPT record; dns-packet needs only these.
      { type: "OPT", name: ".", udpPayloadSize: MAX_UDP_BYTES } as unknown as packet.OptAnswer,
    ],
  });
}

/**
 * Decodes an answer. Returns undefined if its id or question does not match, since it may
 * then be forged. Never throws.
 *
 * @see Go net/dnsclient_unix.go, checkResponse and extractExtendedRCode
 */
export function readAnswer(bytes: Uint8Array, id: number, question: Question): Message | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  const flags = view.getUint16(2);
  const questions = view.getUint16(4);
  const isResponse = (flags & 0x8000) !== 0;
  if (!isResponse || view.getUint16(0) !== id || questions === 0) return undefined;
  const end = questionEnd(bytes, question);
  if (end === undefined) return undefined;

  const { records: answers, at } = readRecords(bytes, end, view.getUint16(6));
  const isMalformed = at === undefined || questions !== 1;
  const { responseCode, hasAdditional } = readTrailer(bytes, at, flags & 0xf);
  return {
    bytes,
    isTruncated: (flags & 0x0200) !== 0,
    isAuthoritative: (flags & 0x0400) !== 0,
    isRecursionAvailable: (flags & 0x0080) !== 0,
    responseCode,
    hasAdditional,
    answers,
    isMalformed,
  };
}

/** Extends `code`, the response code in the header, by the bits of the OPT record if there is one. */
function readTrailer(bytes: Uint8Array, answersEnd: number | undefined, code: number) {
  const view = viewOf(bytes);
  const authorities =
    answersEnd === undefined ? undefined : readRecords(bytes, answersEnd, view.getUint16(8)).at;
  if (authorities === undefined) return { responseCode: code, hasAdditional: false };

  const { records } = readRecords(bytes, authorities, view.getUint16(10));
  const opt = records.find(({ type }) => type === TYPE_OPT);
  // An OPT record has the upper eight bits in its TTL field (RFC 6891, section 6.1.3).
  const upper = opt === undefined ? 0 : opt.ttlSeconds >>> 24;
  return { responseCode: (upper << 4) | code, hasAdditional: records.length > 0 };
}

/** Returns the offset after the first question; undefined if that is not `question`. */
function questionEnd(bytes: Uint8Array, { name, type }: Question): number | undefined {
  const end = nameEnd(bytes, HEADER_BYTES);
  if (end === undefined || end + 4 > bytes.length) return undefined;
  const view = viewOf(bytes);
  const isMatch =
    view.getUint16(end) === TYPES[type] &&
    view.getUint16(end + 2) === CLASS_IN &&
    decodeName(bytes, HEADER_BYTES)?.toLowerCase() === name.toLowerCase();
  return isMatch ? end + 4 : undefined;
}

/** Reads up to `count` records. `at` is the offset after them; undefined if one is malformed. */
function readRecords(bytes: Uint8Array, start: number, count: number) {
  const view = viewOf(bytes);
  const records: RecordRef[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const fixed = nameEnd(bytes, at);
    if (fixed === undefined || fixed + 10 > bytes.length) return { records, at: undefined };
    const length = view.getUint16(fixed + 8);
    at = fixed + 10 + length;
    if (at > bytes.length) return { records, at: undefined };
    const [type, ttlSeconds] = [view.getUint16(fixed), view.getUint32(fixed + 4)];
    records.push({ type, ttlSeconds, at: fixed + 10, length });
  }
  return { records, at };
}

/** Returns the offset after the name at `start`; undefined if the name is malformed. */
function nameEnd(bytes: Uint8Array, start: number): number | undefined {
  for (let at = start; at < bytes.length;) {
    const length = bytes[at]!;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= bytes.length ? at + 2 : undefined;
    if (length >= 0x40) return undefined;
    at += 1 + length;
  }
  return undefined;
}

/** Decodes the name at `start`, with its trailing dot; undefined if the name is malformed. */
function decodeName(bytes: Uint8Array, start: number): string | undefined {
  if (countPointers(bytes, start) > MAX_POINTERS) return undefined;
  try {
    return absolute(names.decode(bytes, start));
  } catch {
    return undefined; // dns-packet throws if it cannot decode a name
  }
}

/** Counts the compression pointers of the name at `start`, and stops above the limit. */
function countPointers(bytes: Uint8Array, start: number): number {
  let pointers = 0;
  for (let at = start; at < bytes.length && pointers <= MAX_POINTERS;) {
    const length = bytes[at]!;
    if (length === 0) break;
    if (length < 0xc0) at += 1 + length;
    else {
      pointers++;
      at = ((length & 0x3f) << 8) | (bytes[at + 1] ?? 0);
    }
  }
  return pointers;
}

/** Decodes the address of an A or AAAA record; undefined if the record is malformed. */
export function readAddress(bytes: Uint8Array, { type, at, length }: RecordRef) {
  const isIPv4 = type === TYPES.A;
  if (length !== (isIPv4 ? 4 : 16)) return undefined;
  // The codecs of dns-packet expect the offset of the length field before the data.
  return (isIPv4 ? addresses.a : addresses.aaaa).decode(bytes, at - 2);
}

export interface SrvData {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  /** The target, with its trailing dot. */
  readonly name: string;
}

const SRV_FIXED_BYTES = 6;

/** Decodes the data of an SRV record (RFC 2782); undefined if the record is malformed. */
export function readSrv(bytes: Uint8Array, { at, length }: RecordRef): SrvData | undefined {
  const end = nameEnd(bytes, at + SRV_FIXED_BYTES);
  const name = decodeName(bytes, at + SRV_FIXED_BYTES);
  if (length <= SRV_FIXED_BYTES || end !== at + length || name === undefined) return undefined;
  const view = viewOf(bytes);
  return {
    priority: view.getUint16(at),
    weight: view.getUint16(at + 2),
    port: view.getUint16(at + 4),
    name,
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// dns-packet exports these codecs, but its types omit them.
interface Codec {
  decode(bytes: Uint8Array, at: number): string;
}
const codecs = packet as unknown as { name: Codec; a: Codec; aaaa: Codec };
const names = codecs.name;
const addresses = { a: codecs.a, aaaa: codecs.aaaa };
