// One absolute name to all servers in turn, until one gives an answer or says
// that there is none.
import { exchange } from "./exchange.ts";
import { type Message, type Question, TYPES } from "./message.ts";
import type { ResolverConfig } from "./resolv-conf.ts";
import { BAD_RESPONSE, LAME_REFERRAL, NOT_FOUND, type Result, TIMED_OUT } from "./result.ts";
import type { ExchangeDeps } from "./transport.ts";

const NXDOMAIN = 3;

/** RFC 1035, section 4.1.1. */
const CODES: Readonly<Record<number, string>> = {
  1: "EFORMERR",
  2: "ESERVFAIL",
  4: "ENOTIMP",
  5: "EREFUSED",
};

export interface QueryDeps extends ExchangeDeps {
  /** Runs `work` when fewer exchanges are under way than there may be. */
  readonly limit: <T>(work: () => Promise<T>) => Promise<T>;
}

/**
 * Asks each server in turn, `attempts` times over. An answer with a record of
 * the type ends it, and so does a server that says that there is none; any
 * other answer, an error and silence lead to the next server. Begins with the
 * server at `offset`. Fails with the last server's code.
 *
 * @see Go net/dnsclient_unix.go, tryOneName
 */
export async function query(
  question: Question,
  config: ResolverConfig,
  offset: number,
  deps: QueryDeps,
  signal: AbortSignal,
): Promise<Result<Message>> {
  const { servers, attempts } = config;
  let code = TIMED_OUT;
  for (let i = 0; i < attempts * servers.length && !signal.aborted; i++) {
    const server = servers[(offset + i) % servers.length]!;
    const answer = await deps.limit(() => exchange(server, question, config, deps, signal));
    if ("code" in answer) {
      code = answer.code;
      continue;
    }
    const verdict = judge(answer.value, question);
    if (verdict === undefined) return answer;
    code = verdict;
    if (code === NOT_FOUND) break;
  }
  return { code };
}

/**
 * Returns what keeps an answer from being one; undefined if nothing does.
 *
 * @see Go net/dnsclient_unix.go, checkHeader and skipToAnswer
 */
function judge(message: Message, { type }: Question): string | undefined {
  const { responseCode, answers } = message;
  if (responseCode === NXDOMAIN) return NOT_FOUND;
  if (message.isMalformed && answers.length === 0) return BAD_RESPONSE;
  if (responseCode !== 0) return CODES[responseCode] ?? BAD_RESPONSE;
  const isReferral =
    !message.isAuthoritative &&
    !message.isRecursionAvailable &&
    answers.length === 0 &&
    !message.hasAdditional;
  if (isReferral) return LAME_REFERRAL;
  if (answers.some((answer) => answer.type === TYPES[type])) return undefined;
  return message.isMalformed ? BAD_RESPONSE : NOT_FOUND;
}
