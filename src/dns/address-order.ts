// Sorts the addresses of a host by RFC 6724, section 6, with the rules that Go implements.
// Needs only the source address for each destination; sends nothing.

/**
 * Returns the source address with which the machine would reach an IP literal; undefined
 * if there is no route. Sends nothing.
 */
export type SourceAddress = (address: string) => string | undefined;

interface Attributes {
  readonly bytes: Uint8Array;
  readonly isIPv4: boolean;
  readonly scope: number;
  readonly precedence: number;
  readonly label: number;
}

interface Candidate extends Attributes {
  readonly address: string;
  readonly source: Attributes | undefined;
}

/**
 * Returns the addresses with the best destination first. Equal ones keep their order.
 *
 * @see Go net/addrselect.go, sortByRFC6724
 */
export function sortAddresses(
  addresses: readonly string[],
  sourceAddress: SourceAddress,
): readonly string[] {
  if (addresses.length < 2) return addresses;

  const candidates = addresses.map((address): Candidate => {
    const source = sourceAddress(address);
    return {
      address,
      ...attributesOf(address),
      source: (source && attributesOf(source)) || undefined,
    };
  });
  return candidates.sort(compare).map(({ address }) => address);
}

/** Returns a negative number if `a` comes first. The rule numbers are those of RFC 6724. */
function compare(a: Candidate, b: Candidate): number {
  const [sourceA, sourceB] = [a.source, b.source];
  // Rule 1: avoid unusable destinations.
  if (sourceA === undefined || sourceB === undefined)
    return Number(sourceA === undefined) - Number(sourceB === undefined);

  return (
    // Rule 2: prefer matching scope.
    Number(a.scope !== sourceA.scope) - Number(b.scope !== sourceB.scope) ||
    // Rule 5: prefer matching label.
    Number(a.label !== sourceA.label) - Number(b.label !== sourceB.label) ||
    // Rule 6: prefer higher precedence.
    b.precedence - a.precedence ||
    // Rule 8: prefer smaller scope.
    a.scope - b.scope ||
    // Rule 9: use the longest matching prefix; for IPv6 only, as in Go (golang/go#13283).
    (a.isIPv4 || b.isIPv4 ? 0 : commonPrefixBits(sourceB, b) - commonPrefixBits(sourceA, a))
  );
}

/** The policy table of RFC 6724, section 2.1, sorted by length: the longest prefix comes first. */
const POLICY: readonly [
  prefix: readonly number[],
  bits: number,
  precedence: number,
  label: number,
][] = [
  [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 128, 50, 0],
  [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 96, 35, 4],
  [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 96, 1, 3],
  [[0x20, 0x01, 0, 0], 32, 5, 5],
  [[0x20, 0x02], 16, 30, 2],
  [[0x3f, 0xfe], 16, 1, 12],
  [[0xfe, 0xc0], 10, 1, 11],
  [[0xfc], 7, 3, 13],
  [[], 0, 40, 1],
];

const SCOPE_LINK_LOCAL = 0x2;
const SCOPE_SITE_LOCAL = 0x5;
const SCOPE_GLOBAL = 0xe;

function attributesOf(address: string): Attributes {
  const bytes = bytesOf(address);
  const isIPv4 = isMapped(bytes);
  const [, , precedence, label] = POLICY.find(([prefix, bits]) => hasPrefix(bytes, prefix, bits))!;
  return { bytes, isIPv4, scope: scopeOf(bytes, isIPv4), precedence, label };
}

function scopeOf(bytes: Uint8Array, isIPv4: boolean): number {
  const [first, second] = (isIPv4 ? bytes.subarray(12) : bytes) as unknown as [number, number];
  if (isIPv4) {
    const isLocal = first === 127 || (first === 169 && second === 254);
    return isLocal ? SCOPE_LINK_LOCAL : SCOPE_GLOBAL;
  }
  const isLoopback = hasPrefix(bytes, POLICY[0]![0], 128);
  if (isLoopback || (first === 0xfe && (second & 0xc0) === 0x80)) return SCOPE_LINK_LOCAL;
  if (first === 0xff) return second & 0xf;
  return first === 0xfe && (second & 0xc0) === 0xc0 ? SCOPE_SITE_LOCAL : SCOPE_GLOBAL;
}

function isMapped(bytes: Uint8Array): boolean {
  return hasPrefix(bytes, POLICY[1]![0], 96);
}

function hasPrefix(bytes: Uint8Array, prefix: readonly number[], bits: number): boolean {
  for (let bit = 0, i = 0; bit < bits; bit += 8, i++) {
    const mask = bits - bit >= 8 ? 0xff : (0xff00 >> (bits - bit)) & 0xff;
    if ((bytes[i]! & mask) !== (prefix[i]! & mask)) return false;
  }
  return true;
}

// The network prefix of an IPv6 address; the other half identifies the interface.
const PREFIX_BYTES = 8;

function commonPrefixBits(a: Attributes, b: Attributes): number {
  if (a.isIPv4 !== b.isIPv4) return 0;
  for (let i = 0; i < PREFIX_BYTES; i++) {
    const difference = a.bytes[i]! ^ b.bytes[i]!;
    if (difference !== 0) return i * 8 + Math.clz32(difference) - 24;
  }
  return PREFIX_BYTES * 8;
}

/** Returns the 16 bytes of an IP literal without its zone. An IPv4 address is mapped to IPv6. */
function bytesOf(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  if (!address.includes(":")) {
    bytes.set([0xff, 0xff, ...address.split(".").map(Number)], 10);
    return bytes;
  }

  // The URL parser normalizes every IPv6 address to groups of hexadecimal digits.
  const { hostname } = new URL(`http://[${address.split("%")[0]}]`);
  const [head, tail] = hostname.slice(1, -1).split("::") as [string, string | undefined];
  const groups = (text: string | undefined) => (text ? text.split(":") : []);
  const put = (all: readonly string[], at: number) =>
    all.forEach((group, i) => {
      const value = Number.parseInt(group, 16);
      bytes.set([value >> 8, value & 0xff], (at + i) * 2);
    });
  put(groups(head), 0);
  put(groups(tail), 8 - groups(tail).length);
  return bytes;
}
