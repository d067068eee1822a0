// Checks domain names and applies the search list to them. Sends no query.

// The longest name with and without its trailing dot (RFC 1035, section 2.3.4).
const MAX_ABSOLUTE_LENGTH = 254;
const MAX_LABEL_BYTES = 63;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/**
 * Reports whether DNS can be queried for `name`: its labels consist of letters, digits,
 * hyphens and underscores, and it has not only digits and dots.
 *
 * @see Go net/dnsclient.go, isDomainName
 */
export function isDomainName(name: string): boolean {
  if (name === ".") return true;
  const relative = name.endsWith(".") ? name.slice(0, -1) : name;
  if (relative.length === 0 || relative.length >= MAX_ABSOLUTE_LENGTH) return false;
  return relative.split(".").every((label) => LABEL.test(label)) && /[^\d.]/.test(relative);
}

/** Makes a name absolute: appends a trailing dot unless it has one. */
export function absolute(name: string): string {
  return name.endsWith(".") ? name : `${name}.`;
}

/**
 * Returns the absolute names to query, in order. `name` itself is the first if it has at
 * least `ndots` dots, and otherwise follows the names that the search list adds.
 *
 * @see Go net/dnsclient_unix.go, nameList
 */
export function searchNames(
  name: string,
  { ndots, search }: { readonly ndots: number; readonly search: readonly string[] },
): string[] {
  const isAbsolute = name.endsWith(".");
  const own = absolute(name);
  if (own.length > MAX_ABSOLUTE_LENGTH) return [];
  if (isAbsolute) return [own].filter(isQueryable);

  const suffixed = search.map((suffix) => own + suffix).filter(isEncodable);
  const hasDots = name.split(".").length - 1 >= ndots;
  return (hasDots ? [own, ...suffixed] : [...suffixed, own]).filter(isQueryable);
}

/**
 * Returns whether a message can hold an absolute name. A server does not answer what
 * dns-packet makes of other names, which a search list may have.
 */
function isEncodable(name: string): boolean {
  const lengths = name.slice(0, -1).split(".").map(byteLength);
  const isWithinLimits = lengths.every((length) => length > 0 && length <= MAX_LABEL_BYTES);
  return isWithinLimits && byteLength(name) <= MAX_ABSOLUTE_LENGTH;
}

function byteLength(text: string): number {
  return Buffer.byteLength(text);
}

/** Reports whether a name may be sent to DNS: names under .onion must not be (RFC 7686). */
function isQueryable(name: string): boolean {
  return !/\.onion\.$/i.test(name);
}
