// The cluster's own member list, asked for over etcd's JSON gateway. Any member
// knows all; one that says nothing useful is passed over.
import { type EndpointSpec, labelOf, parseStaticEndpoint } from "../config/endpoint-spec.ts";
import type { Credentials, SrvConfig } from "../config/gateway-config.ts";
import type { Names } from "./names.ts";
import { whyNot } from "./tls-failure.ts";

/** What to POST to etcd's JSON gateway. */
export interface Question {
  readonly path: string;
  readonly body: unknown;
  readonly token?: string;
}

/** Asks one endpoint, at an IP literal of its. Rejects with a `code`. */
export type Post = (
  spec: EndpointSpec,
  address: string,
  question: Question,
) => Promise<{ readonly status: number; readonly body: string }>;

export interface MemberListDeps {
  readonly names: Names;
  readonly isSelf: (address: string, port: number) => boolean;
  readonly post: Post;
  /** For one name lookup, in milliseconds. */
  readonly timeoutMs: () => number;
}

/** No endpoint gave a list. The message says what each answered. */
export class MemberListError extends Error {
  override name = "MemberListError";
}

const LIST = "/v3/cluster/member/list";
const AUTHENTICATE = "/v3/auth/authenticate";

// etcd's codes are gRPC's. Without any token it says INVALID_ARGUMENT ("user name is empty").
const INVALID_ARGUMENT = 3;
const FAILED_PRECONDITION = 9;
const UNAUTHENTICATED = 16;

export class MemberList {
  readonly #deps: MemberListDeps;
  /** Of the last authentication; etcd forgets it after minutes of silence. */
  #token: string | undefined;

  constructor(deps: MemberListDeps) {
    this.#deps = deps;
  }

  /**
   * The members that serve clients, from the first of `endpoints` that answers.
   *
   * @throws {MemberListError} if none does.
   */
  async ask(
    endpoints: readonly EndpointSpec[],
    credentials: Credentials | undefined,
  ): Promise<readonly EndpointSpec[]> {
    const failures: string[] = [];
    for (const endpoint of endpoints) {
      try {
        const address = await this.#addressOf(endpoint);
        return membersOf(await this.#list(endpoint, address, credentials), address);
      } catch (error) {
        failures.push(`${labelOf(endpoint)}: ${whyNot(error)}`);
      }
    }
    throw new MemberListError(failures.join("; "));
  }

  /** Forgets the token: the credentials may be others. */
  reset(): void {
    this.#token = undefined;
  }

  async #addressOf({ address: { host, port }, verifiedAddresses }: EndpointSpec): Promise<string> {
    const { names, isSelf, timeoutMs } = this.#deps;
    const { addresses, error } = await names.find(host, timeoutMs());
    if (addresses === undefined) throw new Error(`does not resolve (${error?.code})`);
    const usable = addresses.find(
      (address) => !isSelf(address, port) && verifiedAddresses?.has(address) !== false,
    );
    if (usable === undefined) throw new Error("none of its addresses may be dialled");
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
    const isOld = this.#token !== undefined;
    this.#token ??= await this.#authenticate(endpoint, address, credentials);
    try {
      return await this.#post(endpoint, address, { ...question, token: this.#token });
    } catch (error) {
      if (!isOld || !isLoginWanted(error as EtcdError, this.#token)) throw error;
      this.#token = undefined;
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
      if (typeof token !== "string") throw new Error("gave no token");
      return token;
    } catch (error) {
      // A cluster without authentication needs no token, as etcdctl takes it.
      if ((error as EtcdError).code === FAILED_PRECONDITION) return "";
      throw error;
    }
  }

  async #post(endpoint: EndpointSpec, address: string, question: Question): Promise<unknown> {
    const { status, body } = await this.#deps.post(endpoint, address, question);
    const answer = parseJson(body);
    if (status === 200 && answer !== undefined) return answer;
    const { message, code } = (answer ?? {}) as { message?: unknown; code?: unknown };
    throw new EtcdError(`HTTP ${status}: ${message ?? body.slice(0, 100).trim()}`, Number(code));
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

/** The token is too old; or there is none, of a time when the cluster wanted none. */
function isLoginWanted({ code }: EtcdError, token: string | undefined): boolean {
  return code === UNAUTHENTICATED || (token === "" && code === INVALID_ARGUMENT);
}

function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What a member list advertises to clients. Learners cannot serve all requests,
 * a member without a client URL has not started, and a loopback address that a
 * member of another machine advertises (etcd's own default) is not that member.
 *
 * @throws {Error} if nothing is left.
 */
export function membersOf(answer: unknown, askedAddress: string): EndpointSpec[] {
  const { members } = answer as { members?: unknown };
  if (!Array.isArray(members)) throw new Error("the answer is no member list");
  const found = members
    .filter((member) => member?.isLearner !== true)
    .flatMap((member) => (Array.isArray(member?.clientURLs) ? member.clientURLs : []))
    .flatMap(specOf)
    .filter(({ address }) => isLoopback(askedAddress) || !isLoopback(address.host));
  if (found.length === 0) throw new Error("no member advertises an address that can be dialled");
  return found;
}

/** The cluster vouches for its members: a certificate for the discovery domain will do as well. */
export function namedBy(
  srv: SrvConfig | undefined,
  members: readonly EndpointSpec[],
): readonly EndpointSpec[] {
  if (srv === undefined) return members;
  return members.map((member) => ({
    ...member,
    certificateNames: [...member.certificateNames, srv.domain],
  }));
}

/** A member that a seed names too has its priority and weight; any other is one of the best. */
export function rankedBy(
  seeds: readonly EndpointSpec[],
  members: readonly EndpointSpec[],
): readonly EndpointSpec[] {
  const best = Math.min(...seeds.map(({ priority }) => priority));
  const most = Math.max(...seeds.map(({ weight }) => weight));
  return members.map((member) => {
    const seed = seeds.find((other) => labelOf(other) === labelOf(member));
    return { ...member, priority: seed?.priority ?? best, weight: seed?.weight ?? most };
  });
}

function specOf(url: unknown): EndpointSpec[] {
  try {
    return [{ ...parseStaticEndpoint(String(url)), origin: "member list" }];
  } catch {
    return []; // a Unix socket, or nothing that we understand
  }
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.[\d.]+|::1|0\.0\.0\.0|::)$/i.test(host);
}
