// The numbers of HTTP/2 (RFC 9113): frame types, flags, settings and error codes, and the
// layout of a frame header.

/** Sent first by a client (RFC 9113, section 3.4). */
export const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** RFC 9113, section 4.1. */
export const FRAME_HEADER_BYTES = 9;

/** RFC 9113, section 6. */
export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** The flags of all frame types; ACK and END_STREAM share a bit. */
export const Flag = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

/** RFC 9113, section 6.5.2. */
export const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

/** RFC 9113, section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

/** The payload of a frame that we send or accept: the initial value of SETTINGS_MAX_FRAME_SIZE. */
export const MAX_FRAME_BYTES = 16_384;

/** The initial flow-control window of streams and connections (RFC 9113, section 6.9.2). */
export const INITIAL_WINDOW_BYTES = 65_535;

/** The largest window, stream id and window increment. */
export const MAX_31_BITS = 0x7fff_ffff;

/** A fault of the peer that ends the connection (RFC 9113, section 5.4.1). */
export class ConnectionError extends Error {
  override name = "ConnectionError";

  /** `code` is a value of `ErrorCode`. The message is the debug data of the GOAWAY frame. */
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/** Returns the name of an error code, or the number of an unknown one. */
export function errorName(code: number): string {
  for (const [name, value] of Object.entries(ErrorCode)) if (value === code) return name;
  return String(code);
}

/** Reads 32 bits, big endian. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

/** Writes 32 bits, big endian. */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
