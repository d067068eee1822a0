// Header lists as HPACK and the HTTP/2 connection exchange them. Nothing here validates
// names or values: that is the connection's task (RFC 9113, section 8.2).

/**
 * A header list: names and values in turn, `[name0, value0, name1, value1...]`. One character
 * per byte (latin1). Lists are shared, so no list may change after it was passed on.
 */
export type HeaderList = readonly string[];

/** The size of a field beyond its name and value (RFC 7541, section 4.1). */
export const FIELD_OVERHEAD_BYTES = 32;

/** Returns the value of the first field with this name. */
export function headerValue(list: HeaderList, name: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === name) return list[i + 1];
  }
  return undefined;
}

/**
 * Returns the size that SETTINGS_MAX_HEADER_LIST_SIZE limits: for each field, the bytes of its
 * name and value, and 32 (RFC 9113, section 6.5.2).
 */
export function headerListBytes(list: HeaderList): number {
  let bytes = (list.length / 2) * FIELD_OVERHEAD_BYTES;
  for (const text of list) bytes += text.length;
  return bytes;
}
