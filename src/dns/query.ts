// Queries the servers in turn for one absolute name, until one of them answers or reports
// that the name has no such record.
import type { HostPort } from "../core/address.ts";
import { type Message, type Question, TYPES } from "./message.ts";
import type { ResolverConfig } from "./resolv-conf.ts";
import { BAD_RESPONSE, LAME_REFERRAL, NOT_FOUND, type Result, TIMED_OUT } from "./result.ts";

const NXDOMAIN = 3;

/** Error codes by response code (RFC 1035, section 4.1.1). */
const CODES: Readonly<Record<number, string>> = {
  1: "EFORMERR",
  2: "ESERVFAIL",
  4: "ENOTIMP",
  5: "EREFUSED",
};

/**
 * Queries each server in turn, beginning with the one at `offset`, and repeats that up to
 * `attempts` times or until `signal` aborts. `ask` sends the question to one server, once. Ends with the first answer that has a record of the type, or with
 * NOT_FOUND if a server reports that there is none. After any other answer, an error or a
 * timeout, the next server is queried. If all fail, returns the last failure.
 *
 * @see Go net/dnsclient_unix.go, tryOneName
 */
export async function query(
  question: Question,
  { servers, attempts }: Pick<ResolverConfig, "servers" | "attempts">,
  offset: number,
  ask: (server: HostPort) => Promise<Result<Message>>,
  signal: AbortSignal,
): Promise<Result<Message>> {
  let code = TIMED_OUT;

  for (let i = 0; i < attempts * servers.length && !signal.aborted; i++) {
    const server = servers[(offset + i) % servers.length]!;
    const answer = await ask(server);
    if ("code" in answer) {
      code = answer.code;
      continue;
    }

    const failure = failureOf(answer.value, question);
    if (failure === undefined) return answer;
    code = failure;
    if (code === NOT_FOUND) break;
  }
  return { code };
}

/**
 * Returns the error code of an answer that has no record of the type; undefined if it has one.
 *
 * @see Go net/dnsclient_unix.go, checkHeader and skipToAnswer
 */
function failureOf(message: Message, { type }: Question): string | undefined {
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
