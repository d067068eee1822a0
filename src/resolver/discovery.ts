// Follows which endpoints exist: SRV records, then the cluster's own member list.
// Decides when to refresh, and keeps the last good set while a refresh fails.
import type { Clock } from "../core/clock.ts";
import { type EndpointSpec, isSameAddress, labelOf } from "../core/endpoint-spec.ts";
import type { ClusterConfig, SrvConfig } from "../core/gateway-config.ts";
import type { ClusterIo } from "./cluster-io.ts";
import type { Connector } from "./connector.ts";
import type { EndpointVerifier, VerifierEvents } from "./endpoint-verifier.ts";
import { checkReachable, UnreachableMembersError } from "./member-reachability.ts";
import { withCertificateNames, withInheritedPriority } from "./member-specs.ts";
import { RefreshStats } from "./refresh-stats.ts";
import type { DiscoveryEvents, Source } from "./discovery-events.ts";
import { Endpoint } from "./endpoint.ts";
import type { Pool } from "./pool.ts";
import { SpecChanges } from "./spec-changes.ts";
import { mustVerify, refreshDelayMs, SrvError } from "./srv.ts";

/** What discovery asks, and a dialer that probes endpoints. */
export type DiscoveryIo = Pick<ClusterIo, "srv" | "members" | "createVerifier"> & {
  readonly dialer: Pick<Connector, "probe">;
};

/** Receives a set, which may be unchanged; empty only if no endpoint may be used any longer. */
export type Publish = (specs: readonly EndpointSpec[]) => void;

// Thousands of clients may ask for a refresh at once, when no endpoint is up.
const MIN_GAP_MS = 1000;

export class Discovery {
  readonly #io: DiscoveryIo;
  readonly #pool: Pick<Pool, "endpoints">;
  readonly #clock: Clock;
  #events: (DiscoveryEvents & VerifierEvents) | undefined;
  #publishSpecs: Publish | undefined;
  #config: ClusterConfig;
  /** Endpoints from SRV, or those of --endpoints. */
  #seeds: readonly EndpointSpec[] = [];
  /** The cluster's member list; undefined until there is one. */
  #members: readonly EndpointSpec[] | undefined;
  readonly #srvVerifier: EndpointVerifier;
  readonly #memberVerifier: EndpointVerifier;
  /** The last refresh; refreshes run one after the other. */
  #last: Promise<void> = Promise.resolve();
  /** The refresh that `refresh` has requested and that has not ended, shared by its callers. */
  #forced: Promise<void> | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #cancelSrv = () => {};
  #cancelMembers = () => {};
  /** Incremented by each reconfiguration: a refresh that began before it publishes nothing. */
  #generation = 0;
  #isClosed = false;
  readonly refreshStats = new RefreshStats();
  readonly #changes = new SpecChanges();

  /** `pool` has the endpoints in use. */
  constructor(config: ClusterConfig, io: DiscoveryIo, pool: Pick<Pool, "endpoints">, clock: Clock) {
    this.#config = config;
    this.#io = io;
    this.#pool = pool;
    this.#clock = clock;
    this.#srvVerifier = io.createVerifier();
    this.#memberVerifier = io.createVerifier();
  }

  /**
   * Publishes the first set. The member list is requested later, in the background.
   *
   * @throws {SrvError} if no usable endpoint is found, and --endpoints has none.
   */
  start(events: DiscoveryEvents & VerifierEvents, publish: Publish): Promise<void> {
    this.#events = events;
    this.#publishSpecs = publish;
    this.#srvVerifier.start(events, () => void this.#enqueue(true, false));
    this.#memberVerifier.start(events, () => void this.#enqueue(false, true));
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
        this.refreshStats.succeeded("SRV discovery", this.#clock.now());
      } catch (error) {
        if (!(error instanceof SrvError) || endpoints.length === 0) throw error;
        this.refreshStats.failed("SRV discovery");
        this.#events!.fellBack(error, endpoints);
      }
    }
    this.#publish();
  }

  /** Starts to refresh by itself; the member list at once. */
  follow(): void {
    this.#armSrv();
    if (this.#config.memberSyncMs > 0) void this.#enqueue(false, true);
  }

  /** Whether there is a source to refresh from. */
  get hasDiscovery(): boolean {
    return this.#config.srv !== undefined || this.#config.memberSyncMs > 0;
  }

  /**
   * Refreshes every source now, or joins the refresh in progress, and resolves when
   * that is over; at once if one has ended within the last second.
   */
  refresh(): Promise<void> {
    const isRecent = this.#clock.now() - this.#refreshedAt < MIN_GAP_MS;
    if (this.#isClosed || !this.hasDiscovery) return Promise.resolve();
    if (this.#forced === undefined && isRecent) return Promise.resolve();
    if (this.#forced !== undefined) return this.#forced;
    const forced = this.#enqueue(true, true).finally(() => {
      if (this.#forced === forced) this.#forced = undefined;
      this.#refreshedAt = this.#clock.now();
    });
    this.#forced = forced;
    return forced;
  }

  /** Applies another configuration and refreshes every source. */
  async reconfigure(config: ClusterConfig): Promise<void> {
    const before = this.#config;
    this.#config = config;
    this.#generation++;
    const isSame = sourcesOf(before) === sourcesOf(config);
    // SRV endpoints stay until the next SRV answer, unless SRV discovery was turned off.
    const isFallback = this.#seeds.every(isStatic) && config.endpoints.length > 0;
    if (config.srv === undefined || isFallback) this.#seeds = config.endpoints;
    // Another source may mean another cluster, with other members.
    if (!isSame || config.memberSyncMs === 0) this.#members = undefined;
    this.#srvVerifier.invalidate();
    this.#memberVerifier.invalidate();
    this.#io.members.reset();
    // A refresh of the old configuration delays nothing.
    this.#last = Promise.resolve();
    this.#forced = undefined;
    await this.#enqueue(true, true);
  }

  /** Stops refreshing. A refresh in progress publishes nothing. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#io.srv.close();
    this.#cancelSrv();
    this.#cancelMembers();
  }

  #enqueue(withSrv: boolean, withMembers: boolean): Promise<void> {
    this.#last = this.#last.then(() => this.#refreshSources(withSrv, withMembers));
    return this.#last;
  }

  async #refreshSources(withSrv: boolean, withMembers: boolean): Promise<void> {
    const generation = this.#generation;
    const isOld = () => this.#isClosed || generation !== this.#generation;
    const { srv, memberSyncMs } = this.#config;
    if (isOld()) return;
    if (withSrv && srv !== undefined) {
      const found = await this.#attempt("SRV discovery", () => this.#findBySrv(srv, isOld), isOld);
      if (isOld()) return;
      this.#seeds = found instanceof Error ? this.#seedsAfterFailure() : found;
      this.#publish();
    }
    if (withMembers && memberSyncMs > 0) {
      const found = await this.#attempt("member list", () => this.#askMembers(isOld), isOld);
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
    find: () => Promise<readonly EndpointSpec[]>,
    isOld: () => boolean,
  ): Promise<readonly EndpointSpec[] | Error> {
    const events = this.#events!;
    try {
      const found = await find();
      const isNews = !isOld() && this.refreshStats.succeeded(source, this.#clock.now());
      if (isNews) events.recovered(source);
      return found;
    } catch (error) {
      if (!isOld() && this.refreshStats.failed(source)) events.failed(source, error as Error);
      return error as Error;
    }
  }

  /** Returns the last good set, less the endpoints that must be verified and are not, or no longer. */
  #stillGood(specs: readonly EndpointSpec[], verifier: EndpointVerifier): readonly EndpointSpec[] {
    if (!mustVerify(this.#config.srv)) return specs;
    return specs.flatMap((spec) => (isStatic(spec) ? spec : (verifier.stillVerified(spec) ?? [])));
  }

  #seedsAfterFailure(): readonly EndpointSpec[] {
    const seeds = this.#stillGood(this.#seeds, this.#srvVerifier);
    return seeds.length > 0 ? seeds : this.#config.endpoints;
  }

  /** What is remembered of earlier answers stays as it is if `isOld`. */
  async #findBySrv(srv: SrvConfig, isOld = () => false): Promise<readonly EndpointSpec[]> {
    const events = this.#events!;
    const found = await this.#io.srv.find(srv);
    if (this.#changes.isNews("discovered", found)) events.discovered(srv, found);
    const plain = srv.isInsecure ? [] : found.filter(({ scheme }) => scheme === "http");
    if (this.#changes.isNews("dropped", plain) && plain.length > 0) events.dropped(srv, plain);
    const candidates = found.filter((spec) => !plain.includes(spec));
    const admitted = await this.#srvVerifier.verifyAll(candidates, mustVerify(srv));
    if (admitted.length === 0)
      throw new SrvError(
        `Cannot use what --discovery-srv "${srv.domain}" names: no endpoint passed; see the lines before`,
      );
    if (!isOld()) this.#srvVerifier.keepOnly(candidates);
    if (!srv.isInsecure && this.#changes.isNews("validated", admitted))
      events.validated(srv, admitted);
    return admitted;
  }

  /** @throws {UnreachableMembersError} if a list was found of which nothing can be reached. */
  async #askMembers(isOld: () => boolean): Promise<readonly EndpointSpec[]> {
    const config = this.#config;
    const { srv, peers = [] } = config;
    if (peers.length > 0) return (await this.#io.members.askPeers(peers, config)).members;
    // Before the cluster has answered, endpoints in use may be members of another one.
    const inUse = this.#members === undefined ? [] : this.#pool.endpoints;
    const specsWhere = (isUp: boolean) =>
      inUse.filter((endpoint) => endpoint.isUp === isUp).map(({ spec }) => spec);
    const { members: listed, answeredBy } = await this.#io.members.ask(
      [...specsWhere(true), ...this.#seeds, ...specsWhere(false)],
      config,
    );

    const admitted = await this.#memberVerifier.verifyAll(
      withCertificateNames(srv, listed),
      mustVerify(srv),
    );
    if (admitted.length === 0)
      throw new Error("none of the members may be used; see the lines before");
    if (!isOld()) this.#memberVerifier.keepOnly(listed);
    await checkReachable(admitted, answeredBy, (spec) => this.#probe(spec));
    return admitted;
  }

  /** Opens a connection to an endpoint and closes it; rejects with the reason if it cannot. */
  #probe(spec: EndpointSpec): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#io.dialer.probe(new Endpoint(spec), (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Returns the last good list, less what may no longer be used; undefined: the seeds are used. */
  #membersAfter(error: Error): readonly EndpointSpec[] | undefined {
    const good = this.#stillGood(this.#members ?? [], this.#memberVerifier);
    const members = good.length > 0 ? good : undefined;
    if (!(error instanceof UnreachableMembersError)) return members;
    // The endpoint that answered works. It is a seed, unless it is a member of the last list.
    const isMember = members?.some((member) => isSameAddress(member, error.answeredBy));
    return isMember ? members : undefined;
  }

  #publish(): void {
    const seeds = this.#seeds;
    this.#publishSpecs!(
      this.#members === undefined ? seeds : withInheritedPriority(seeds, this.#members),
    );
  }

  #armSrv(): void {
    const { srv, discoveryRefreshMs } = this.#config;
    this.#cancelSrv();
    if (srv === undefined || discoveryRefreshMs === 0 || this.#isClosed) return;
    const dueMs = refreshDelayMs(discoveryRefreshMs, this.#io.srv.ttlMs);
    this.#cancelSrv = this.#clock.after(dueMs, () => void this.#enqueue(true, false));
  }

  #armMembers(): void {
    const { memberSyncMs } = this.#config;
    this.#cancelMembers();
    if (memberSyncMs === 0 || this.#isClosed) return;
    this.#cancelMembers = this.#clock.after(memberSyncMs, () => void this.#enqueue(false, true));
  }
}

function isStatic({ origin }: EndpointSpec): boolean {
  return origin === "--endpoints";
}

function sourcesOf({ srv, endpoints, peers = [] }: ClusterConfig): string {
  return JSON.stringify([srv, endpoints.map(labelOf), peers.map(labelOf)]);
}
