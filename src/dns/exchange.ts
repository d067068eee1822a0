// Sends one question to one server: over UDP, then over TCP if the answer was truncated.
// query.ts chooses the servers and repeats the question.
import type { HostPort } from "../core/address.ts";
import { encodeQuery, type Message, type Question, readAnswer } from "./message.ts";
import { BAD_RESPONSE, CANCELLED, codeOf, type Result, TIMED_OUT } from "./result.ts";
import type { ResolverConfig } from "./resolv-conf.ts";
import type { ExchangeDeps } from "./transport.ts";

/**
 * Queries `server` once. UDP and TCP have a timeout of `timeoutMs` each. An answer that
 * does not match the question is ignored over UDP, where any host may have forged it, and
 * is an error over TCP.
 *
 * @see Go net/dnsclient_unix.go, exchange
 */
export async function exchange(
  server: HostPort,
  question: Question,
  config: Pick<ResolverConfig, "timeoutMs" | "useTcp" | "trustAd">,
  deps: ExchangeDeps,
  signal: AbortSignal,
): Promise<Result<Message>> {
  const { transport } = deps;
  const id = deps.randomId();
  const query = encodeQuery(id, question, config.trustAd);
  const bounded = (work: (signal: AbortSignal) => Promise<Uint8Array>) =>
    withTimeout(work, config.timeoutMs, deps, signal);

  if (!config.useTcp) {
    const accepts = (bytes: Uint8Array) => readAnswer(bytes, id, question) !== undefined;
    const answer = await bounded((inner) => transport.exchangeUdp(server, query, accepts, inner));
    if ("code" in answer) return answer;
    const message = readAnswer(answer.value, id, question)!;
    // A truncated answer over TCP is used as it is (golang/go#64896).
    if (!message.isTruncated) return { value: message };
  }

  const answer = await bounded((inner) => transport.exchangeTcp(server, query, inner));
  if ("code" in answer) return answer;
  const message = readAnswer(answer.value, id, question);
  return message === undefined ? { code: BAD_RESPONSE } : { value: message };
}

/** Runs `work` with a signal that aborts after `timeoutMs`, or when `signal` does. */
async function withTimeout(
  work: (signal: AbortSignal) => Promise<Uint8Array>,
  timeoutMs: number,
  { clock }: ExchangeDeps,
  signal: AbortSignal,
): Promise<Result<Uint8Array>> {
  if (signal.aborted) return { code: CANCELLED };

  const inner = new AbortController();
  let isTimedOut = false;
  const cancel = () => inner.abort();
  const cancelTimer = clock.after(timeoutMs, () => {
    isTimedOut = true;
    inner.abort();
  });
  signal.addEventListener("abort", cancel);
  try {
    return { value: await work(inner.signal) };
  } catch (error) {
    if (signal.aborted) return { code: CANCELLED };
    return { code: isTimedOut ? TIMED_OUT : codeOf(error) };
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", cancel);
  }
}
