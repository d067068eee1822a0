// The cluster's own member list, asked for over etcd's JSON gateway. Any member
// knows all; one that says nothing useful is passed over.
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { Credentials } from "../core/gateway-config.ts";
import type { Clock } from "../core/clock.ts";
import type { DnsCache } from "./dns-cache.ts";
import { parseMemberList } from "./member-specs.ts";
import { staggeredRace } from "./staggered-race.ts";
import { describeTlsError } from "./tls-error.ts";

/** What to POST to etcd's JSON gateway. */
export interface MemberRequest {
  readonly path: string;
  readonly body: unknown;
  readonly token?: string;
}

/** Asks one endpoint, at an IP literal of its. Rejects with a `code`. */
export type Post = (
  spec: EndpointSpec,
  address: string,
  question: MemberRequest,
) => Promise<{ readonly status: number; readonly body: string }>;

export interface MemberListDeps {
  readonly names: DnsCache;
  readonly isSelf: (address: string, port: number) => boolean;
  readonly post: Post;
  readonly clock: Clock;
  /** For one name lookup, in milliseconds. */
  readonly timeoutMs: () => number;
}

export interface MemberAnswer {
  /** At least one. */
  readonly members: readonly EndpointSpec[];
  /** The endpoint that gave the list. */
  readonly answeredBy: EndpointSpec;
}

/** No endpoint gave a list. The message says what each answered. */
export class MemberListError extends Error {
  override name = "MemberListError";
}

const LIST = "/v3/cluster/member/list";
const AUTHENTICATE = "/v3/auth/authenticate";

// How long an endpoint may be silent before the next is asked as well, and one
// address of an endpoint before its next address is (RFC 8305).
const ASK_DELAY_MS = 1000;
const ADDRESS_DELAY_MS = 250;

// etcd's codes are gRPC's.
const FAILED_PRECONDITION = 9;

const MAX_QUOTED = 200;

export class MemberList {
  readonly #deps: MemberListDeps;
  /** With the token of the last authentication, which etcd forgets after minutes of silence. */
  #login: { token?: string } = {};

  constructor(deps: MemberListDeps) {
    this.#deps = deps;
  }

  /**
   * Returns the members that serve clients, from the first of `endpoints` that answers.
   *
   * @throws {MemberListError} if none does.
   */
  async ask(
    endpoints: readonly EndpointSpec[],
    credentials: Credentials | undefined,
  ): Promise<MemberAnswer> {
    const outcome = await staggeredRace(
      uniqueOf(endpoints),
      (endpoint) => this.#askOne(endpoint, credentials),
      // An endpoint that accepts and says nothing must not keep the others from being asked.
      { clock: this.#deps.clock, delayMs: ASK_DELAY_MS },
    );
    if (outcome.winner !== undefined)
      return { members: outcome.result, answeredBy: outcome.winner };
    const failures = outcome.failures.map(
      ([endpoint, error]) => `${labelOf(endpoint)}: ${describeTlsError(error)}`,
    );
    throw new MemberListError(failures.join("; ") || "no endpoint to query");
  }

  /** Asks an endpoint at its addresses in turn, as a dial tries them. */
  async #askOne(
    endpoint: EndpointSpec,
    credentials: Credentials | undefined,
  ): Promise<readonly EndpointSpec[]> {
    const outcome = await staggeredRace(
      await this.#addressesOf(endpoint),
      async (address) => parseMemberList(await this.#list(endpoint, address, credentials), address),
      { clock: this.#deps.clock, delayMs: ADDRESS_DELAY_MS },
    );
    if (outcome.winner !== undefined) return outcome.result;
    const { failures } = outcome;
    if (failures.length === 1) throw failures[0]![1];
    throw new Error(
      failures.map(([address, error]) => `${address}: ${describeTlsError(error)}`).join(", "),
    );
  }

  /** Forgets the token: the credentials may be others. */
  reset(): void {
    this.#login = {};
  }

  async #addressesOf(endpoint: EndpointSpec): Promise<readonly string[]> {
    const { host, port } = endpoint.address;
    const { verifiedAddresses } = endpoint;
    const { names, isSelf, timeoutMs } = this.#deps;
    const { addresses, error } = await names.find(host, timeoutMs());
    if (addresses === undefined) throw new Error(`does not resolve (${error?.code})`);
    const usable = addresses.filter(
      (address) => !isSelf(address, port) && verifiedAddresses?.has(address) !== false,
    );
    if (usable.length === 0) throw new Error("none of its addresses may be dialled");
    return usable;
  }

  async #list(
    endpoint: EndpointSpec,
    address: string,
    credentials: Credentials | undefined,
  ): Promise<unknown> {
    // From etcd 3.5 on, a member that lags behind or has lost the others does not
    // answer with an old list then. 3.4 ignores the word, as all that it does not know.
    const question = { path: LIST, body: { linearizable: true } };
    if (credentials === undefined) return this.#post(endpoint, address, question);
    const login = this.#login;
    const isOld = login.token !== undefined;
    login.token ??= await this.#authenticate(endpoint, address, credentials);
    try {
      return await this.#post(endpoint, address, { ...question, token: login.token });
    } catch (error) {
      // Whatever etcd has against it: a token that is not new may be the reason.
      if (!(error instanceof EtcdError)) throw error;
      delete login.token;
      if (!isOld) throw error;
      return this.#list(endpoint, address, credentials);
    }
  }

  async #authenticate(
    endpoint: EndpointSpec,
    address: string,
    { user, password }: Credentials,
  ): Promise<string> {
    try {
      const body = { name: user, password };
      const answer = await this.#post(endpoint, address, { path: AUTHENTICATE, body });
      const { token } = answer as { token?: unknown };
      if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
        throw new Error("it returned no usable token");
      return token;
    } catch (error) {
      // A cluster without authentication needs no token, as etcdctl takes it.
      if ((error as EtcdError).code === FAILED_PRECONDITION) return "";
      throw error;
    }
  }

  async #post(endpoint: EndpointSpec, address: string, question: MemberRequest): Promise<unknown> {
    const { status, body } = await this.#deps.post(endpoint, address, question);
    const answer = parseJson(body);
    if (status === 200 && answer !== undefined) return answer;
    const { message, code } = (answer ?? {}) as { message?: unknown; code?: unknown };
    throw new EtcdError(`HTTP ${status}${quoted(message ?? body, question)}`, Number(code));
  }
}

/** etcd answered that it will not. */
class EtcdError extends Error {
  override name = "EtcdError";
  constructor(
    message: string,
    readonly code: number,
  ) {
    super(message);
  }
}

/** Each endpoint once, in the order of its first place. */
function uniqueOf(endpoints: readonly EndpointSpec[]): EndpointSpec[] {
  const byLabel = new Map<string, EndpointSpec>();
  for (const endpoint of endpoints)
    if (!byLabel.has(labelOf(endpoint))) byLabel.set(labelOf(endpoint), endpoint);
  return [...byLabel.values()];
}

function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What a server says, in short, unless it repeats a secret that it was told. */
function quoted(text: unknown, { body, token }: MemberRequest): string {
  const { password } = body as { password?: string };
  const words = String(text).slice(0, MAX_QUOTED).trim();
  const isTelltale = [password, token].some((secret) => secret && String(text).includes(secret));
  return words === "" || isTelltale ? "" : `: ${words}`;
}
