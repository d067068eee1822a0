// The tables of HPACK (RFC 7541, section 2.3): the static one, the dynamic one of a decoder or
// an encoder, and the index by name and value that encoders search.
import { FIELD_OVERHEAD_BYTES, type HeaderList } from "./header-list.ts";

/** The static table (RFC 7541, appendix A). The field with index 1 comes first. */
export const STATIC_FIELDS: HeaderList = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
].flat();

/** The number of fields in the static table. The newest dynamic field has the index after it. */
export const STATIC_COUNT = STATIC_FIELDS.length / 2;

/** The size of a table until the peer's settings say otherwise (RFC 9113, section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;

const MIN_CAPACITY = 4;

/**
 * A dynamic table (RFC 7541, section 2.3.2). Fields have a serial number, counted from 1, in
 * the order of their insertion. The ring that holds them is allocated at the first insertion.
 */
export class DynamicTable {
  /** Changes whenever a field is inserted or evicted and whenever the size is set. */
  generation = 0;
  /** The serial number of the field that was inserted last, evicted or not; 0: none. */
  newest = 0;
  /** The sum of the sizes of all fields: for each, name, value and 32 bytes. */
  bytes = 0;
  /** The number of fields. */
  count = 0;
  maxBytes: number;
  /** Names and values in turn. The field with serial number n starts at 2 * (n % capacity). */
  #ring: string[] | undefined;
  /** Capacity - 1; the capacity is a power of two. */
  #mask = 0;
  readonly #index: FieldIndex | undefined;

  /** Keeps `index`, if there is one, in step with the fields. */
  constructor(maxBytes: number, index?: FieldIndex) {
    this.maxBytes = maxBytes;
    this.#index = index;
  }

  /** Returns the name of a field that the table holds. */
  name(serial: number): string {
    return this.#ring![2 * (serial & this.#mask)]!;
  }

  /** Returns the value of a field that the table holds. */
  value(serial: number): string {
    return this.#ring![2 * (serial & this.#mask) + 1]!;
  }

  /** Like `FieldIndex.find()`, with serial numbers; 0 if the table has no index. */
  find(name: string, value: string): number {
    return this.#index?.find(name, value) ?? 0;
  }

  /** Inserts a field. One that is larger than the table leaves it empty (RFC 7541, section 4.4). */
  insert(name: string, value: string): void {
    const bytes = name.length + value.length + FIELD_OVERHEAD_BYTES;
    this.generation++;
    this.#evictTo(this.maxBytes - bytes);
    if (bytes > this.maxBytes) return;

    if (this.#ring === undefined || this.count > this.#mask) this.#grow();
    this.newest++;
    this.count++;
    this.bytes += bytes;
    const at = 2 * (this.newest & this.#mask);
    this.#ring![at] = name;
    this.#ring![at + 1] = value;
    this.#index?.add(name, value, this.newest);
  }

  /** Sets the maximum size and evicts the oldest fields above it. */
  setMaxBytes(maxBytes: number): void {
    this.generation++;
    this.maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  /** Evicts all fields. */
  clear(): void {
    this.generation++;
    this.#evictTo(0);
  }

  /** Evicts the oldest fields until at most `bytes` are left, or the table is empty. */
  #evictTo(bytes: number): void {
    while (this.bytes > bytes && this.count > 0) {
      const oldest = this.newest - this.count + 1;
      const at = 2 * (oldest & this.#mask);
      const ring = this.#ring!;
      this.#index?.remove(ring[at]!, ring[at + 1]!, oldest);
      this.bytes -= ring[at]!.length + ring[at + 1]!.length + FIELD_OVERHEAD_BYTES;
      this.count--;
      ring[at] = "";
      ring[at + 1] = "";
    }
  }

  #grow(): void {
    const capacity = this.#ring === undefined ? MIN_CAPACITY : this.#ring.length;
    const ring = Array.from<string>({ length: 2 * capacity }).fill("");
    for (let serial = this.newest; serial > this.newest - this.count; serial--) {
      const at = 2 * (serial & (capacity - 1));
      ring[at] = this.name(serial);
      ring[at + 1] = this.value(serial);
    }
    this.#ring = ring;
    this.#mask = capacity - 1;
  }
}

interface FieldsOfName {
  /** The field that was added last. */
  newest: number;
  newestValue: string;
  /** All fields with this name, by value; undefined while there was only one. */
  byValue: Map<string, number> | undefined;
}

/** Finds fields by name and value in constant time. Its map is allocated at the first field. */
export class FieldIndex {
  #byName: Map<string, FieldsOfName> | undefined;

  /**
   * Returns the number of the field; if only its name is known, the negative number of the last
   * field with that name; else 0.
   */
  find(name: string, value: string): number {
    const fields = this.#byName?.get(name);
    if (fields === undefined) return 0;
    if (fields.newestValue === value) return fields.newest;
    return fields.byValue?.get(value) ?? -fields.newest;
  }

  /** Adds a field. It replaces an earlier one with this name and value. */
  add(name: string, value: string, number: number): void {
    this.#byName ??= new Map();
    const fields = this.#byName.get(name);
    if (fields === undefined) {
      this.#byName.set(name, { newest: number, newestValue: value, byValue: undefined });
      return;
    }

    fields.byValue ??= new Map([[fields.newestValue, fields.newest]]);
    fields.byValue.set(value, number);
    fields.newest = number;
    fields.newestValue = value;
  }

  /** Removes a field that was added before all others that are left. */
  remove(name: string, value: string, number: number): void {
    const fields = this.#byName?.get(name);
    if (fields?.newest === number) this.#byName!.delete(name);
    else if (fields?.byValue?.get(value) === number) fields.byValue.delete(value);
  }
}
