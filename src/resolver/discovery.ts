// Follows which endpoints exist: SRV records, then the cluster's own member
// list. Decides when to look, and keeps the last good set when that fails.
import type { Clock } from "../core/clock.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { GatewayConfig, SrvConfig } from "../core/gateway-config.ts";
import { EndpointVerifier, type EndpointVerifierDeps } from "./endpoint-verifier.ts";
import { checkReachable, isSameAddress, UnreachableMembersError } from "./member-reachability.ts";
import { withCertificateNames, withInheritedPriority } from "./member-specs.ts";
import { RefreshStats } from "./refresh-stats.ts";
import type { MemberList } from "./member-list.ts";
import type { DiscoveryEvents, Source } from "./discovery-events.ts";
import type { Endpoint } from "./endpoint.ts";
import { SpecChanges } from "./spec-changes.ts";
import { mustVerify, refreshDelayMs, SrvError, type SrvSource } from "./srv.ts";

export interface DiscoveryDeps {
  readonly srv: SrvSource;
  readonly verifier: EndpointVerifierDeps;
  readonly members: MemberList;
  readonly clock: Clock;
  readonly events: DiscoveryEvents;
  /** Endpoints in use. */
  readonly inUse: () => readonly Endpoint[];
  /** Whether a connection to an endpoint can be opened; rejects with the reason if not. */
  readonly probe: (spec: EndpointSpec) => Promise<void>;
  /** Takes over a new set, perhaps the same; empty only if nothing may be used any more. */
  readonly publish: (specs: readonly EndpointSpec[]) => void;
}

// Clients that find nothing up ask for a look at once, and there may be thousands.
const MIN_GAP_MS = 1000;

export class Discovery {
  readonly #deps: DiscoveryDeps;
  #config: GatewayConfig;
  /** From SRV, or what --endpoints names. */
  #seeds: readonly EndpointSpec[] = [];
  /** What the cluster says; undefined until it has said something. */
  #members: readonly EndpointSpec[] | undefined;
  readonly #srvVerifier: EndpointVerifier;
  readonly #memberVerifier: EndpointVerifier;
  /** Rounds one after the other. */
  #last: Promise<void> = Promise.resolve();
  /** The round that nobody has begun yet or that is under way, for all who ask now. */
  #forced: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #cancelSrv = () => {};
  #cancelMembers = () => {};
  /** Raised by each reconfiguration: what was begun before it changes nothing any more. */
  #generation = 0;
  #isClosed = false;
  readonly refreshStats = new RefreshStats();
  readonly #changes = new SpecChanges();

  constructor(config: GatewayConfig, deps: DiscoveryDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#srvVerifier = new EndpointVerifier(deps.verifier, () => this.#round(true, false));
    this.#memberVerifier = new EndpointVerifier(deps.verifier, () => this.#round(false, true));
  }

  /**
   * Publishes the first set. The member list is asked for after that, in the background.
   *
   * @throws {SrvError} if nothing is found that may be used, and --endpoints names nothing.
   */
  start(): Promise<void> {
    const started = this.#start();
    this.#last = started.catch(() => {});
    return started;
  }

  async #start(): Promise<void> {
    const { endpoints, srv } = this.#config;
    this.#seeds = endpoints;
    if (srv !== undefined) {
      try {
        this.#seeds = await this.#findBySrv(srv);
        this.refreshStats.succeeded("SRV discovery", this.#deps.clock.now());
      } catch (error) {
        if (!(error instanceof SrvError) || endpoints.length === 0) throw error;
        this.refreshStats.failed("SRV discovery");
        this.#deps.events.fellBack(error, endpoints);
      }
    }
    this.#publish();
  }

  /** From now on it looks by itself, at the member list at once. */
  follow(): void {
    this.#armSrv();
    if (this.#config.memberSyncMs > 0) void this.#round(false, true);
  }

  /** Whether there is anything to look up. */
  get hasDiscovery(): boolean {
    return this.#config.srv !== undefined || this.#config.memberSyncMs > 0;
  }

  /**
   * Looks everything up now, or joins who is looking; resolves when that is
   * over, at once if it has just been done.
   */
  refresh(): Promise<void> {
    const isRecent = this.#deps.clock.now() - this.#refreshedAt < MIN_GAP_MS;
    if (this.#isClosed || !this.hasDiscovery) return Promise.resolve();
    if (this.#forced === undefined && isRecent) return Promise.resolve();
    if (this.#forced !== undefined) return this.#forced;
    const forced = this.#round(true, true).finally(() => {
      if (this.#forced === forced) this.#forced = undefined;
      this.#refreshedAt = this.#deps.clock.now();
    });
    this.#forced = forced;
    return forced;
  }

  /** Goes by another configuration from now on, and looks everything up anew. */
  async reconfigure(config: GatewayConfig): Promise<void> {
    const before = this.#config;
    this.#config = config;
    this.#generation++;
    const isSame = sourcesOf(before) === sourcesOf(config);
    // What SRV named stays until SRV has answered again, unless SRV is no longer asked.
    if (config.srv === undefined) this.#seeds = config.endpoints;
    // Another source may mean another cluster, of which these are no members.
    if (!isSame || config.memberSyncMs === 0) this.#members = undefined;
    this.#srvVerifier.invalidate();
    this.#memberVerifier.invalidate();
    this.#deps.members.reset();
    // Nobody waits for what the old configuration is still looking for.
    this.#last = Promise.resolve();
    this.#forced = undefined;
    await this.#round(true, true);
  }

  /** Stops looking. What is under way publishes nothing more. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#deps.srv.close();
    this.#cancelSrv();
    this.#cancelMembers();
  }

  #round(withSrv: boolean, withMembers: boolean): Promise<void> {
    this.#last = this.#last.then(() => this.#look(withSrv, withMembers));
    return this.#last;
  }

  async #look(withSrv: boolean, withMembers: boolean): Promise<void> {
    const generation = this.#generation;
    const isOld = () => this.#isClosed || generation !== this.#generation;
    const { srv, memberSyncMs } = this.#config;
    if (isOld()) return;
    if (withSrv && srv !== undefined) {
      const found = await this.#attempt("SRV discovery", () => this.#findBySrv(srv), isOld);
      if (isOld()) return;
      this.#seeds =
        found instanceof Error ? this.#stillGood(this.#seeds, this.#srvVerifier) : found;
      this.#publish();
    }
    if (withMembers && memberSyncMs > 0) {
      const found = await this.#attempt("member list", () => this.#askMembers(), isOld);
      if (isOld()) return;
      this.#members = found instanceof Error ? this.#membersAfter(found) : found;
    }
    this.#publish();
    if (withSrv) this.#armSrv();
    if (withMembers) this.#armMembers();
  }

  /** Returns what a lookup found, or why it failed, which is logged once. */
  async #attempt(
    source: Source,
    look: () => Promise<readonly EndpointSpec[]>,
    isOld: () => boolean,
  ): Promise<readonly EndpointSpec[] | Error> {
    const { events, clock } = this.#deps;
    try {
      const found = await look();
      if (!isOld() && this.refreshStats.succeeded(source, clock.now())) events.recovered(source);
      return found;
    } catch (error) {
      if (!isOld() && this.refreshStats.failed(source)) events.failed(source, error as Error);
      return error as Error;
    }
  }

  /** Of the last good set all but those that must be verified now, and are not, or no longer. */
  #stillGood(specs: readonly EndpointSpec[], verifier: EndpointVerifier): readonly EndpointSpec[] {
    if (!mustVerify(this.#config.srv)) return specs;
    const good = specs.flatMap((spec) =>
      spec.origin === "--endpoints" ? spec : (verifier.stillVerified(spec) ?? []),
    );
    return good.length > 0 ? good : this.#config.endpoints;
  }

  async #findBySrv(srv: SrvConfig): Promise<readonly EndpointSpec[]> {
    const { events } = this.#deps;
    const found = await this.#deps.srv.find(srv);
    if (this.#changes.isNews("discovered", found)) events.discovered(srv, found);
    const plain = srv.isInsecure ? [] : found.filter(({ scheme }) => scheme === "http");
    if (this.#changes.isNews("dropped", plain) && plain.length > 0) events.dropped(srv, plain);
    const candidates = found.filter((spec) => !plain.includes(spec));
    const admitted = await this.#srvVerifier.verifyAll(candidates, mustVerify(srv));
    if (admitted.length > 0) this.#srvVerifier.keepOnly(candidates);
    else
      throw new SrvError(
        `Cannot use what --discovery-srv "${srv.domain}" names: no endpoint passed; see the lines before`,
      );
    if (!srv.isInsecure && this.#changes.isNews("validated", admitted))
      events.validated(srv, admitted);
    return admitted;
  }

  /** @throws {UnreachableMembersError} if a list was found of which nothing can be reached. */
  async #askMembers(): Promise<readonly EndpointSpec[]> {
    const { members } = this.#deps;
    const { srv, credentials } = this.#config;
    // Before the cluster has answered, endpoints in use may be members of another one.
    const inUse = this.#members === undefined ? [] : this.#deps.inUse();
    const specsWhere = (isUp: boolean) =>
      inUse.filter((endpoint) => endpoint.isUp === isUp).map(({ spec }) => spec);
    const { members: listed, answeredBy } = await members.ask(
      [...specsWhere(true), ...this.#seeds, ...specsWhere(false)],
      credentials,
    );

    const admitted = await this.#memberVerifier.verifyAll(
      withCertificateNames(srv, listed),
      mustVerify(srv),
    );
    if (admitted.length === 0)
      throw new Error("none of the members may be used; see the lines before");
    this.#memberVerifier.keepOnly(listed);
    await checkReachable(admitted, answeredBy, this.#deps.probe);
    return admitted;
  }

  /** The last good list, less what may not be used any more; undefined: the seeds are used. */
  #membersAfter(error: Error): readonly EndpointSpec[] | undefined {
    const members = this.#members && this.#stillGood(this.#members, this.#memberVerifier);
    if (!(error instanceof UnreachableMembersError)) return members;
    // What works is the endpoint that answered: a seed, unless it is a member of the last list.
    const isMember = members?.some((member) => isSameAddress(member, error.answeredBy));
    return isMember ? members : undefined;
  }

  #publish(): void {
    const seeds = this.#seeds;
    this.#deps.publish(
      this.#members === undefined ? seeds : withInheritedPriority(seeds, this.#members),
    );
  }

  #armSrv(): void {
    const { srv, discoveryRefreshMs } = this.#config;
    this.#cancelSrv();
    if (srv === undefined || discoveryRefreshMs === 0 || this.#isClosed) return;
    const { clock, srv: source } = this.#deps;
    const dueMs = refreshDelayMs(discoveryRefreshMs, source.ttlMs);
    this.#cancelSrv = clock.after(dueMs, () => void this.#round(true, false));
  }

  #armMembers(): void {
    const { memberSyncMs } = this.#config;
    this.#cancelMembers();
    if (memberSyncMs === 0 || this.#isClosed) return;
    this.#cancelMembers = this.#deps.clock.after(memberSyncMs, () => void this.#round(false, true));
  }
}

function sourcesOf({ srv, endpoints }: GatewayConfig): string {
  return JSON.stringify([srv, endpoints.map(labelOf)]);
}
