// The system's name resolution: resolv.conf, nsswitch.conf and the hosts file, each read
// again after a change. Decides whether this resolver or the C library does a lookup.
import type { Clock } from "../core/clock.ts";
import { CachedFile, type FileText, isAbsent } from "./cached-file.ts";
import { findHost, parseHosts } from "./hosts-file.ts";
import { type LookupOrder, lookupOrder, type OrderFacts, parseNsswitch } from "./nsswitch.ts";
import { parseResolvConf, type ResolverConfig } from "./resolv-conf.ts";
import type { FileReader } from "./transport.ts";

/** The sources for the lookup of a host, and the configuration for queries to DNS. */
export interface HostPlan {
  readonly order: LookupOrder;
  readonly config: ResolverConfig;
}

export class SystemConfig {
  readonly #hostname: () => string | undefined;
  readonly #prefersSystem: boolean;
  readonly #resolvConf: CachedFile<{ config: ResolverConfig; isUsable: boolean }>;
  readonly #nsswitch: CachedFile<OrderFacts["sources"]>;
  readonly #hosts: CachedFile<ReturnType<typeof parseHosts>>;
  readonly #mdnsAllow: CachedFile<boolean>;

  /**
   * Reads nothing. Each file is read when it is first needed. `hostname` returns the name
   * of this machine, undefined if it has none. `prefersSystem`: getaddrinfo must do all
   * lookups, as on macOS.
   */
  constructor(
    files: FileReader,
    clock: Clock,
    hostname: () => string | undefined,
    prefersSystem: boolean,
  ) {
    this.#hostname = hostname;
    this.#prefersSystem = prefersSystem;
    this.#resolvConf = new CachedFile({
      path: "/etc/resolv.conf",
      parse: (file) => this.#readResolvConf(file),
      isFinal: ({ config }) => config.noReload,
      files,
      clock,
    });
    this.#nsswitch = new CachedFile({ path: "/etc/nsswitch.conf", parse: sourcesOf, files, clock });
    this.#hosts = new CachedFile({ path: "/etc/hosts", parse: hostsOf, files, clock });
    this.#mdnsAllow = new CachedFile({ path: "/etc/mdns.allow", parse: mayExist, files, clock });
  }

  /** Returns the servers and the search list, for lookups that only use DNS. */
  async config(): Promise<ResolverConfig> {
    await this.#resolvConf.refresh();
    return this.#resolvConf.value.config;
  }

  /**
   * Decides how `host` is looked up.
   *
   * @see Go net/conf.go, lookupOrder
   */
  async plan(host: string): Promise<HostPlan> {
    if (!this.#resolvConf.isFresh) await this.#resolvConf.refresh();
    const { config, isUsable } = this.#resolvConf.value;
    if (this.#prefersSystem || !isUsable || config.hasUnknownOption)
      return { order: "system", config };

    if (!this.#nsswitch.isFresh) await this.#nsswitch.refresh();
    const sources = this.#nsswitch.value;
    const hasMdns = Array.isArray(sources) && sources.some(({ name }) => name.startsWith("mdns"));
    if (hasMdns && !this.#mdnsAllow.isFresh) await this.#mdnsAllow.refresh();
    const facts = { sources, hostname: this.#hostname(), hasMdnsAllow: this.#mdnsAllow.value };
    return { order: lookupOrder(host, facts), config };
  }

  /** Returns the addresses of `host` in the hosts file; undefined if it has none. */
  async findInHosts(host: string): Promise<readonly string[] | undefined> {
    if (!this.#hosts.isFresh) await this.#hosts.refresh();
    return findHost(this.#hosts.value, host);
  }

  #readResolvConf(file: FileText): { config: ResolverConfig; isUsable: boolean } {
    const text = "text" in file ? file.text : undefined;
    return {
      config: parseResolvConf(text, this.#hostname() ?? ""),
      isUsable: "text" in file || isAbsent(file.code),
    };
  }
}

function sourcesOf(file: FileText): OrderFacts["sources"] {
  if ("text" in file) return parseNsswitch(file.text) ?? "malformed";
  return file.code === "ENOENT" ? undefined : "malformed";
}

function hostsOf(file: FileText): ReturnType<typeof parseHosts> {
  return parseHosts("text" in file ? file.text : "");
}

/** Reports whether the file exists, or may exist because it cannot be read. */
function mayExist(file: FileText): boolean {
  return "text" in file || file.code !== "ENOENT";
}
