// The statuses of gRPC, and the header lists that carry them.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import { ErrorCode } from "../http2/protocol.ts";

/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** The names that grpc_server_handled_total has for the codes, from 0 on. */
export const GRPC_CODE_NAMES: readonly string[] = [
  ...["OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound"],
  ...["AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted"],
  ...["OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"],
];

/** A status that the proxy itself gives. */
export interface GrpcStatus {
  /** A value of `GrpcCode`. */
  readonly code: number;
  readonly message: string;
}

/** Returns the trailers of a status. `isWhole`: they are the whole response, so they include its headers. */
export function statusTrailers({ code, message }: GrpcStatus, isWhole: boolean): HeaderList {
  const status = ["grpc-status", String(code), "grpc-message", encodeMessage(message)];
  return isWhole ? [":status", "200", "content-type", "application/grpc", ...status] : status;
}

/**
 * Returns the code that trailers carry. A list without one is a response that is not gRPC's,
 * which clients take for UNKNOWN.
 */
export function codeOf(trailers: HeaderList): number {
  const text = headerValue(trailers, "grpc-status");
  const code = text === undefined ? GrpcCode.UNKNOWN : Number(text);
  return code in GRPC_CODE_NAMES ? code : GrpcCode.UNKNOWN;
}

/** Returns the code that a client makes of a RST_STREAM without trailers. */
export function codeOfReset(errorCode: number): number {
  switch (errorCode) {
    case ErrorCode.REFUSED_STREAM:
      return GrpcCode.UNAVAILABLE;
    case ErrorCode.CANCEL:
      return GrpcCode.CANCELLED;
    case ErrorCode.ENHANCE_YOUR_CALM:
      return GrpcCode.RESOURCE_EXHAUSTED;
    case ErrorCode.INADEQUATE_SECURITY:
      return GrpcCode.PERMISSION_DENIED;
    default:
      return GrpcCode.INTERNAL;
  }
}

/** Returns the status of a message that exceeds `max` bytes, in grpc-go's words. */
export function tooLarge(verb: "send" | "receive", bytes: number, max: number): GrpcStatus {
  const message =
    verb === "send"
      ? `trying to send message larger than max (${bytes} vs. ${max})`
      : `grpc: received message larger than max (${bytes} vs. ${max})`;
  return { code: GrpcCode.RESOURCE_EXHAUSTED, message };
}

/** Percent-encodes what is not printable ASCII, as the protocol wants of grpc-message. */
function encodeMessage(message: string): string {
  let encoded = "";
  for (const byte of new TextEncoder().encode(message)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== PERCENT;
    encoded += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

const PERCENT = 0x25;

const TIMEOUT_UNITS_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Returns the milliseconds of a grpc-timeout; undefined if there is none, or it is malformed. */
export function parseTimeout(text: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text ?? "");
  return match === null ? undefined : Number(match[1]) * TIMEOUT_UNITS_MS[match[2]!]!;
}
