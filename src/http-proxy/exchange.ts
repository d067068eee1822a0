// One request of a client and its answer: admitted, kept or streamed, sent to a member,
// sent again if it may be, answered or aborted. It owns its attempts.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { DialError } from "../net/dial-error.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { type AdmittedRequest, admit } from "./admission.ts";
import { errorAnswer, NO_ENDPOINT, noResponse, type OwnAnswer, refusal } from "./answers.ts";
import { Attempt, type AttemptListener } from "./attempt.ts";
import type { Client, ClientTask } from "./client.ts";
import { requestHeaders } from "./headers.ts";
import type { DropReason, EndedExchange, ExchangeParts } from "./exchange-parts.ts";
import type { ConnectListener } from "./members.ts";
import { isReadOnlyTxn } from "./read-only-txn.ts";
import { Reply } from "./reply.ts";
import { RequestBody, type RequestBodyListener } from "./request-body.ts";
import type { SocketStream } from "./socket-stream.ts";

// Requests with longer bodies are not sent again.
const MAX_KEPT_BYTES = 64 * 1024;
const MAX_ATTEMPTS = 4;
// A transaction of the read-only mode is kept until it has been checked.
const MAX_TXN_BYTES = 2 * 1024 * 1024;

// How long a request waits for a member to come up, and how often it looks.
const MAX_HOLD_MS = 5000;
const HOLD_STEP_MS = 100;

// A read without an answer moves to another member after this time, which is longer than
// reads take unless the member hangs.
const MOVE_AFTER_MS = 500;

const MAYBE_APPLIED =
  ": the connection broke after the request was sent, so that it may have been applied";

export class Exchange
  implements ClientTask, EndedExchange, AttemptListener, ConnectListener, RequestBodyListener
{
  readonly client: Client;
  readonly request: IncomingMessage;
  readonly startedAt: number;
  headAt: number | undefined;
  endpoint: Endpoint | undefined;
  dropReason: DropReason | undefined;
  end: EndedExchange["end"] = "complete";
  readonly #parts: ExchangeParts;
  readonly #reply: Reply;
  readonly #body: RequestBody;
  #admitted: AdmittedRequest | undefined;
  /** Whether the request may be sent again. */
  #isRepeatable = false;
  #mustDial = false;
  #attempts = 0;
  #attempt: Attempt | undefined;
  #excluded = new Set<Endpoint>();
  /** Endpoints that did not answer in time. */
  readonly #silent: Endpoint[] = [];
  #cancelConnect = () => {};
  #cancelTimer = () => {};
  #isOver = false;

  /** Does nothing until it is started. */
  constructor(
    parts: ExchangeParts,
    client: Client,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    this.#parts = parts;
    this.client = client;
    this.request = request;
    this.#reply = new Reply(response);
    this.startedAt = parts.clock.now();
    this.#body = new RequestBody(request, client.stream, this);
    response.on("close", () => this.#closed());
    // What they mean is in the events that follow.
    for (const side of [request, response]) side.on("error", () => {});
  }

  get requestBytes(): number {
    return this.#body.bytes;
  }

  get status(): number {
    return this.#reply.status;
  }

  get responseBytes(): number {
    return this.#reply.bytes;
  }

  start(): void {
    if (this.#isOver) return;
    const { config, hopId, listener } = this.#parts;
    const admitted = admit(this.request, { ...config(), hopId });
    if ("status" in admitted) {
      this.#refuse(admitted);
      return;
    }
    const { rule, isBodyChecked } = admitted;
    this.#body.maxBytes = rule.isWait ? 0 : config().maxRequestBytes;
    const own = listener.ownAnswer(this.request.method!, rule.path);
    if (own !== undefined) this.#answer(own);
    else if (this.#body.isAnnouncedTooLong) this.tooLong();
    else {
      this.#admitted = admitted;
      this.#isRepeatable = rule.isSafe;
      if (isBodyChecked) this.#checkTxn();
      else if (rule.isSafe && this.#body.framing !== "none") this.#keepBody();
      else this.#route();
    }
  }

  cancel(): void {
    this.#closed();
  }

  #checkTxn(): void {
    this.#body.keep(MAX_TXN_BYTES, (isWhole) => {
      if (!isWhole) {
        this.tooLong();
        return;
      }
      if (!isReadOnlyTxn(this.#body.kept)) {
        this.#refuse(refusal(true));
        return;
      }
      this.#isRepeatable = true;
      this.#route();
    });
  }

  #keepBody(): void {
    this.#body.keep(MAX_KEPT_BYTES, (isWhole) => {
      this.#isRepeatable = isWhole;
      this.#route();
    });
  }

  /** Sends the request on an idle connection if it may be repeated, otherwise on a new one. */
  #route(): void {
    if (this.#isOver) return;
    const { members, routing } = this.#parts;
    const preferred = routing.choose(this.client, this.#excluded);
    const mayReuse = this.#isRepeatable && !this.#mustDial && preferred !== undefined;
    if (mayReuse && members.of(preferred).kept.hasIdle) {
      this.#send(preferred, undefined);
      return;
    }
    this.#cancelConnect = members.connect({ preferred, excluded: this.#excluded }, this);
  }

  connected(connection: SocketStream, endpoint: Endpoint): void {
    const hasTls = endpoint.spec.scheme === "https";
    if (this.#isOver || hasTls) connection.abort();
    // A token must not be sent in clear text to a member that has TLS.
    if (hasTls) this.#answer(errorAnswer(502, `${endpoint.label} has TLS: not supported`));
    else if (!this.#isOver) this.#send(endpoint, connection);
  }

  notConnected(error: DialError | undefined): void {
    if (this.#isOver) return;
    const waitedMs = this.#parts.clock.now() - this.startedAt;
    if (error === undefined && waitedMs < MAX_HOLD_MS) {
      this.#excluded.clear();
      this.#cancelTimer = this.#parts.clock.after(HOLD_STEP_MS, () => this.#route());
      return;
    }
    this.dropReason = "zero_endpoints";
    this.#answer(NO_ENDPOINT);
  }

  #send(endpoint: Endpoint, connection: SocketStream | undefined): void {
    const { members, hopId } = this.#parts;
    const { target } = this.#admitted!;
    this.#attempts++;
    this.endpoint = endpoint;
    const framing =
      this.#isRepeatable && this.#body.framing !== "none"
        ? { length: this.#body.kept.length }
        : this.#body.framing;
    const isLast = !this.#isRepeatable;
    const { address: client } = this.client;
    const headers = requestHeaders(this.request.rawHeaders, { client, hopId, framing, isLast });
    const { kept, single } = members.of(endpoint);
    const agent = isLast ? single : kept;
    const method = this.request.method!;
    const attempt = new Attempt({ endpoint, agent, connection, method, target, headers }, this);
    this.#attempt = attempt;
    attempt.start();
    if (this.#attempt !== attempt) return;
    if (!this.#isRepeatable) this.#body.passTo(attempt);
    else attempt.end(framing === "none" ? undefined : this.#body.kept);
    this.#setDeadline();
  }

  drained(): void {
    this.#body.resume();
  }

  /** A read moves if its member is silent, while there is another one; else it ends after the timeout. */
  #setDeadline(): void {
    if (!this.#isRepeatable) return;
    const { clock, routing, config } = this.#parts;
    const endpoint = this.endpoint!;
    const { responseTimeoutMs } = config();
    const mayMove = routing.hasOther(this.#excluded, endpoint) && this.#attempts < MAX_ATTEMPTS;
    const timeoutMs = mayMove ? MOVE_AFTER_MS : responseTimeoutMs;
    if (timeoutMs === 0) return;
    this.#cancelTimer = clock.after(timeoutMs, () => {
      this.#attempt!.abort();
      if (!mayMove) {
        this.dropReason = "failed_getting_response";
        this.#answer(errorAnswer(504, `no response from ${endpoint.label} in time`));
        return;
      }
      this.#silent.push(endpoint);
      this.#excluded.add(endpoint);
      this.#route();
    });
  }

  failed(_error: Error, { endpoint, isReused }: Attempt): void {
    this.#cancelTimer();
    this.#attempt = undefined;
    if (this.#isOver) return;
    if (this.#isRepeatable && this.#attempts < MAX_ATTEMPTS) {
      if (isReused) this.#mustDial = true;
      else if (this.#parts.routing.hasOther(this.#excluded, endpoint)) this.#excluded.add(endpoint);
      this.#route();
      return;
    }
    const isRead = this.#admitted!.rule.access === "read";
    this.dropReason = "failed_getting_response";
    this.#answer(noResponse(1, isRead ? "" : MAYBE_APPLIED));
  }

  answered(answer: IncomingMessage, { endpoint }: Attempt): void {
    this.#cancelTimer();
    if (this.#isOver) {
      answer.destroy();
      return;
    }
    const { clock, routing } = this.#parts;
    this.client.endpoint = endpoint;
    // Without a quorum all members are slow, and none is to blame.
    routing.answered(endpoint, answer.statusCode! < 500 ? this.#silent : []);
    this.headAt = clock.now();
    if (this.#reply.pass(answer, this.#isLast, () => this.#broken())) return;
    this.#attempt!.abort();
    this.#answer(noResponse(1));
  }

  /** Whether the client's connection closes after this answer. */
  get #isLast(): boolean {
    return this.client.isDraining || !this.#body.isComplete;
  }

  /** The member broke off: the client must not take what it has for the whole. */
  #broken(): void {
    if (this.#isOver) return;
    this.end = "member_broke";
    this.client.terminate();
  }

  tooLong(): void {
    this.#cancelTimer();
    this.#cancelConnect();
    this.#attempt?.abort();
    if (this.#reply.hasHead) this.client.terminate();
    else this.#refuse(errorAnswer(413, "request body is too large"));
  }

  #refuse(answer: OwnAnswer): void {
    this.end = "refused";
    this.#answer(answer);
  }

  #answer(answer: OwnAnswer): void {
    if (this.#isOver || this.#reply.hasHead) return;
    this.#body.stop();
    this.headAt = this.#parts.clock.now();
    this.client.isClosing = this.#isLast;
    this.#reply.send(answer, { method: this.request.method, isLast: this.#isLast });
  }

  /** The answer was sent, or the connection of the client has closed. */
  #closed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (!this.#reply.isFinished && this.end === "complete") this.end = "client_left";
    this.#cancelTimer();
    this.#cancelConnect();
    this.#body.stop();
    if (this.end === "client_left" || this.end === "member_broke" || !this.#body.isComplete)
      this.#attempt?.abort();
    this.#parts.listener.ended(this);
    this.client.finished(this);
  }
}
