// One question to one server: over UDP, and over TCP if the answer was
// truncated. Which server is asked next is query.ts's business.
import type { HostPort } from "../core/address.ts";
import { encodeQuery, type Message, type Question, readAnswer } from "./message.ts";
import { BAD_RESPONSE, CANCELLED, codeOf, type Result, TIMED_OUT } from "./result.ts";
import type { ResolverConfig } from "./resolv-conf.ts";
import type { ExchangeDeps } from "./transport.ts";

/**
 * Asks `server` once. UDP and TCP have `timeoutMs` each. Answers that do not
 * match the question are ignored over UDP, where anybody may forge them, and
 * are an error over TCP.
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
    const answer = await bounded((each) => transport.exchangeUdp(server, query, accepts, each));
    if ("code" in answer) return answer;
    const message = readAnswer(answer.value, id, question)!;
    // A truncated answer over TCP is taken as it is (golang/go#64896).
    if (!message.isTruncated) return { value: message };
  }

  const answer = await bounded((each) => transport.exchangeTcp(server, query, each));
  if ("code" in answer) return answer;
  const message = readAnswer(answer.value, id, question);
  return message === undefined ? { code: BAD_RESPONSE } : { value: message };
}

/** Runs `work`, whose signal is aborted after `timeoutMs` or with `signal`. */
async function withTimeout(
  work: (signal: AbortSignal) => Promise<Uint8Array>,
  timeoutMs: number,
  { clock }: ExchangeDeps,
  signal: AbortSignal,
): Promise<Result<Uint8Array>> {
  if (signal.aborted) return { code: CANCELLED };
  const inner = new AbortController();
  let isLate = false;
  const cancel = () => inner.abort();
  const cancelTimer = clock.after(timeoutMs, () => {
    isLate = true;
    inner.abort();
  });
  signal.addEventListener("abort", cancel);
  try {
    return { value: await work(inner.signal) };
  } catch (error) {
    if (signal.aborted) return { code: CANCELLED };
    return { code: isLate ? TIMED_OUT : codeOf(error) };
  } finally {
    cancelTimer();
    signal.removeEventListener("abort", cancel);
  }
}
