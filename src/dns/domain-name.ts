// Names as DNS asks for them: which are valid, and which names a search list
// makes of one. Knows no server.

// The longest name with and without its trailing dot (RFC 1035, section 2.3.4).
const MAX_ABSOLUTE_LENGTH = 254;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/**
 * Returns whether `name` is a name that DNS can be asked for: labels of letters,
 * digits, hyphens and underscores, and not digits alone.
 *
 * @see Go net/dnsclient.go, isDomainName
 */
export function isDomainName(name: string): boolean {
  if (name === ".") return true;
  const relative = name.endsWith(".") ? name.slice(0, -1) : name;
  if (relative.length === 0 || relative.length >= MAX_ABSOLUTE_LENGTH) return false;
  return relative.split(".").every((label) => LABEL.test(label)) && /[^\d.]/.test(relative);
}

/** Appends the trailing dot that makes a name absolute, unless it has one. */
export function absolute(name: string): string {
  return name.endsWith(".") ? name : `${name}.`;
}

/**
 * Returns the absolute names to ask for, in order: `name` itself first if it has
 * at least `ndots` dots, otherwise after those that the search list makes of it.
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
  if (isAbsolute) return [own].filter(mayAsk);

  const suffixed = search
    .map((suffix) => own + suffix)
    .filter((candidate) => candidate.length <= MAX_ABSOLUTE_LENGTH);
  const hasDots = name.split(".").length - 1 >= ndots;
  return (hasDots ? [own, ...suffixed] : [...suffixed, own]).filter(mayAsk);
}

/** Names under .onion are never sent to DNS (RFC 7686). */
function mayAsk(name: string): boolean {
  return !/\.onion\.$/i.test(name);
}
