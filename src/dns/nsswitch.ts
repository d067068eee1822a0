// Parses nsswitch.conf(5) and decides where a host name is looked up: in which sources, and
// whether by this resolver or by the C library.

/** One source of the `hosts` line, such as `files` or `mdns4_minimal`. */
export interface NssSource {
  readonly name: string;
  /** Whether the source has no criteria in brackets, or only ones that repeat the default. */
  readonly isStandard: boolean;
}

/** The sources in order; `system` stands for the C library's getaddrinfo. */
export type LookupOrder = "files dns" | "dns files" | "files" | "dns" | "system";

/**
 * Parses the sources of the `hosts` line. Returns an empty list if there are none, and
 * undefined if the file is malformed.
 *
 * @see Go net/nss.go, parseNSSConf
 */
export function parseNsswitch(text: string): readonly NssSource[] | undefined {
  const hosts: NssSource[] = [];
  for (const full of text.split("\n")) {
    const line = full.replace(/#.*/, "").trim();
    if (line === "") continue;
    const colon = line.indexOf(":");
    if (colon < 0) return undefined;
    const sources = parseSources(line.slice(colon + 1));
    if (sources === undefined) return undefined;
    if (line.slice(0, colon).trim() === "hosts") hosts.push(...sources);
  }
  return hosts;
}

/** Parses a list such as `files [notfound=return] dns`; undefined if malformed. */
function parseSources(text: string): NssSource[] | undefined {
  const sources: NssSource[] = [];
  for (let rest = text.trim(); rest !== "";) {
    // Only a space ends a source's name, as in Go.
    const [, name, following] = /^([^ ]+) ?(.*)$/s.exec(rest)!;
    rest = following!.trim();
    let isStandard = true;
    if (rest.startsWith("[")) {
      const end = rest.indexOf("]");
      const criteria = end < 0 ? undefined : parseCriteria(rest.slice(1, end));
      if (criteria === undefined) return undefined;
      isStandard = criteria.every((each, i) => isDefault(each, i === criteria.length - 1));
      rest = rest.slice(end + 1).trim();
    }
    sources.push({ name: name!, isStandard });
  }
  return sources;
}

interface Criterion {
  readonly isNegated: boolean;
  readonly status: string;
  readonly action: string;
}

/** Parses criteria such as `!UNAVAIL=return TRYAGAIN=continue`; undefined if malformed. */
function parseCriteria(text: string): Criterion[] | undefined {
  const criteria: Criterion[] = [];
  for (const field of text.split(/\s+/).filter((each) => each !== "")) {
    const isNegated = field.startsWith("!");
    const pair = (isNegated ? field.slice(1) : field).toLowerCase();
    const equals = pair.indexOf("=");
    if (pair.length < 3 || equals < 0) return undefined;
    criteria.push({ isNegated, status: pair.slice(0, equals), action: pair.slice(equals + 1) });
  }
  return criteria;
}

/** Reports whether a criterion only repeats the default. */
function isDefault({ isNegated, status, action }: Criterion, isLast: boolean): boolean {
  if (isNegated) return false;
  if (status === "success") return action === "return";
  if (!["notfound", "unavail", "tryagain"].includes(status)) return false;
  return action === "continue" || (isLast && action === "return");
}

/** What the order depends on, besides the name. */
export interface OrderFacts {
  /** Undefined if the file does not exist; `malformed` if it cannot be read or parsed. */
  readonly sources: readonly NssSource[] | "malformed" | undefined;
  /** The name of this machine; undefined if unknown. */
  readonly hostname: string | undefined;
  /** Whether /etc/mdns.allow exists or may exist. */
  readonly hasMdnsAllow: boolean;
}

/**
 * Decides how `host` is looked up: by this resolver, in which sources and order, or by the
 * C library if it alone implements one of the sources.
 *
 * @see Go net/conf.go, lookupOrder
 */
export function lookupOrder(host: string, facts: OrderFacts): LookupOrder {
  const { sources } = facts;
  if (/[\\%]/.test(host)) return "system";
  if (sources === "malformed") return "system";
  if (sources === undefined || sources.length === 0) return "files dns";

  const name = host.replace(/\.$/, "").toLowerCase();
  const order: string[] = [];
  for (const source of sources) {
    if (source.name === "files" || source.name === "dns") {
      if (!source.isStandard) return "system";
      if (!order.includes(source.name)) order.push(source.name);
    } else if (needsSystem(source.name, name, facts)) return "system";
  }
  return order.length === 0 ? "system" : (order.join(" ") as LookupOrder);
}

/** Reports whether a source other than `files` and `dns` may have an answer for this name. */
function needsSystem(source: string, name: string, facts: OrderFacts): boolean {
  if (name === "") return true;
  if (source === "myhostname") {
    const isSpecial = /(^|\.)localhost(\.localdomain)?$|^_gateway$|^_outbound$/.test(name);
    return isSpecial || facts.hostname === undefined || name === facts.hostname.toLowerCase();
  }
  if (source.startsWith("mdns")) return name.endsWith(".local") || facts.hasMdnsAllow;
  return true;
}
