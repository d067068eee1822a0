// Queries etcd's JSON gateway for the cluster's member list, with authentication
// if there are credentials. Any member can return the list, so endpoints that
// fail are skipped.
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { ClusterConfig, Credentials } from "../core/gateway-config.ts";
import type { Clock } from "../core/clock.ts";
import type { DnsCache } from "./dns-cache.ts";
import { parseMemberList } from "./member-specs.ts";
import type { IsSelf } from "./self-address.ts";
import { staggeredRace } from "./staggered-race.ts";
import { describeTlsError } from "./tls-error.ts";
import { ADDRESS_DELAY_MS, describeAddressFailures, usableAddresses } from "./usable-addresses.ts";

/** A POST request to etcd's JSON gateway, or a GET of a peer URL, without a body. */
export interface MemberRequest {
  readonly path: string;
  readonly body: unknown;
  readonly token?: string;
}

/** Sends a request to an endpoint at `address`, one of its IP literals. Rejects with a `code`. */
export type Post = (
  spec: EndpointSpec,
  address: string,
  request: MemberRequest,
) => Promise<{ readonly status: number; readonly body: string }>;

/** The part of the configuration that a query needs. `dialTimeoutMs` is that of one name lookup. */
export type MemberQueryConfig = Pick<ClusterConfig, "credentials" | "dialTimeoutMs">;

export interface MemberAnswer {
  /** At least one. */
  readonly members: readonly EndpointSpec[];
  /** The endpoint that returned the list. */
  readonly answeredBy: EndpointSpec;
}

/** No endpoint returned a list. The message holds the reason for each. */
export class MemberListError extends Error {
  override name = "MemberListError";
}

const LIST_PATH = "/v3/cluster/member/list";
// Of the peer URLs: all releases have it. A GET.
const PEER_LIST_PATH = "/members";
const AUTHENTICATE_PATH = "/v3/auth/authenticate";

// Silence of an endpoint after which the next endpoint is queried as well.
const ENDPOINT_DELAY_MS = 1000;

// A gRPC status code, which etcd's JSON gateway puts into the body.
const FAILED_PRECONDITION = 9;

const MAX_EXCERPT_CHARS = 200;

export class MemberList {
  readonly #names: DnsCache;
  readonly #isSelf: IsSelf;
  readonly #clock: Clock;
  readonly #send: Post;
  /** The token of the last authentication. etcd drops a token that is unused for minutes. */
  #session: { token?: string } = {};

  constructor(names: DnsCache, isSelf: IsSelf, clock: Clock, post: Post) {
    this.#names = names;
    this.#isSelf = isSelf;
    this.#clock = clock;
    this.#send = post;
  }

  /**
   * Returns the members that serve clients, from the first of `endpoints` that
   * returns a list.
   *
   * @throws {MemberListError} if none does.
   */
  ask(endpoints: readonly EndpointSpec[], config: MemberQueryConfig): Promise<MemberAnswer> {
    const { credentials } = config;
    return this.#ask(endpoints, config, (endpoint, address) =>
      this.#list(endpoint, address, credentials),
    );
  }

  /**
   * Does the same with the peer URLs of members, which need no authentication.
   *
   * @throws {MemberListError} if none returns a list.
   */
  askPeers(peers: readonly EndpointSpec[], config: MemberQueryConfig): Promise<MemberAnswer> {
    return this.#ask(peers, config, async (peer, address) => ({
      members: await this.#post(peer, address, { path: PEER_LIST_PATH, body: undefined }),
    }));
  }

  async #ask(
    endpoints: readonly EndpointSpec[],
    { dialTimeoutMs }: MemberQueryConfig,
    list: (endpoint: EndpointSpec, address: string) => Promise<unknown>,
  ): Promise<MemberAnswer> {
    const outcome = await staggeredRace(
      uniqueByLabel(endpoints),
      (endpoint) => this.#queryEndpoint(endpoint, dialTimeoutMs, list),
      { clock: this.#clock, delayMs: ENDPOINT_DELAY_MS },
    );
    if (outcome.winner !== undefined)
      return { members: outcome.result, answeredBy: outcome.winner };

    const failures = outcome.failures.map(
      ([endpoint, error]) => `${labelOf(endpoint)}: ${describeTlsError(error)}`,
    );
    throw new MemberListError(failures.join("; ") || "no endpoint to query");
  }

  /** Queries an endpoint at its addresses, in the order and with the delay of a dial. */
  async #queryEndpoint(
    endpoint: EndpointSpec,
    dialTimeoutMs: number,
    list: (endpoint: EndpointSpec, address: string) => Promise<unknown>,
  ): Promise<readonly EndpointSpec[]> {
    const outcome = await staggeredRace(
      await this.#addressesOf(endpoint, dialTimeoutMs),
      async (address) => parseMemberList(await list(endpoint, address), address),
      { clock: this.#clock, delayMs: ADDRESS_DELAY_MS },
    );
    if (outcome.winner !== undefined) return outcome.result;

    throw new Error(describeAddressFailures(outcome.failures));
  }

  /** Drops the token, because the credentials may have changed. */
  reset(): void {
    this.#session = {};
  }

  /** Returns the addresses of an endpoint that may be queried; throws if there is none. */
  async #addressesOf(endpoint: EndpointSpec, timeoutMs: number): Promise<readonly string[]> {
    const { host, port } = endpoint.address;

    const { addresses, error } = await this.#names.find(host, timeoutMs);
    if (addresses === undefined) throw new Error(`does not resolve (${error?.code})`);

    const usable = usableAddresses(addresses, port, endpoint, this.#isSelf);
    if (usable.length === 0) throw new Error("none of its addresses may be dialled");
    return usable;
  }

  async #list(
    endpoint: EndpointSpec,
    address: string,
    credentials: Credentials | undefined,
  ): Promise<unknown> {
    // With `linearizable`, a member of etcd 3.5 or later that lags or is partitioned
    // returns an error instead of an old list. etcd 3.4 ignores unknown fields.
    const request = { path: LIST_PATH, body: { linearizable: true } };
    if (credentials === undefined) return this.#post(endpoint, address, request);

    const session = this.#session;
    const wasCached = session.token !== undefined;
    session.token ??= await this.#authenticate(endpoint, address, credentials);
    try {
      return await this.#post(endpoint, address, { ...request, token: session.token });
    } catch (error) {
      // A cached token may be the cause of any error that etcd returns, so a new one is tried.
      if (!(error instanceof EtcdError)) throw error;
      delete session.token;
      if (!wasCached) throw error;
      return this.#list(endpoint, address, credentials);
    }
  }

  /** Returns a new token; empty if the cluster has no authentication. */
  async #authenticate(
    endpoint: EndpointSpec,
    address: string,
    { user, password }: Credentials,
  ): Promise<string> {
    try {
      const body = { name: user, password };
      const response = await this.#post(endpoint, address, { path: AUTHENTICATE_PATH, body });
      const { token } = response as { token?: unknown };
      if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
        throw new Error("it returned no usable token");
      return token;
    } catch (error) {
      // Authentication is not enabled, so no token is needed; etcdctl ignores this error too.
      if ((error as EtcdError).code === FAILED_PRECONDITION) return "";
      throw error;
    }
  }

  async #post(endpoint: EndpointSpec, address: string, request: MemberRequest): Promise<unknown> {
    const { status, body } = await this.#send(endpoint, address, request);
    const response = parseJson(body);
    if (status === 200 && response !== undefined) return response;

    const { message, code } = (response ?? {}) as { message?: unknown; code?: unknown };
    throw new EtcdError(`HTTP ${status}${excerpt(message ?? body, request)}`, Number(code));
  }
}

/** A server answered with an error, or with something other than a JSON object. */
class EtcdError extends Error {
  override name = "EtcdError";
  constructor(
    message: string,
    readonly code: number,
  ) {
    super(message);
  }
}

/** Returns the endpoints without duplicates, in the order of their first occurrence. */
function uniqueByLabel(endpoints: readonly EndpointSpec[]): EndpointSpec[] {
  const byLabel = new Map<string, EndpointSpec>();
  for (const endpoint of endpoints)
    if (!byLabel.has(labelOf(endpoint))) byLabel.set(labelOf(endpoint), endpoint);
  return [...byLabel.values()];
}

/** Returns the JSON object that `text` holds; undefined if it holds none. */
function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the start of a server's answer, or "" if the answer repeats a secret of the request. */
function excerpt(text: unknown, { body, token }: MemberRequest): string {
  const { password } = (body ?? {}) as { password?: string };
  const start = String(text).slice(0, MAX_EXCERPT_CHARS).trim();
  const leaksSecret = [password, token].some((secret) => secret && String(text).includes(secret));
  return start === "" || leaksSecret ? "" : `: ${start}`;
}
