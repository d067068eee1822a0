// What went wrong: wrong answers, which nothing excuses, and failures, which a fault may excuse
// if their code says that the call may be tried again. Each is printed with the operations that
// led to it.

/** The codes with which a call may fail while a fault lasts. */
const ALLOWED: ReadonlySet<number> = new Set([14]);

const MAX_PRINTED = 20;
const MAX_OPERATIONS = 5000;
const MAX_SHOWN = 12;

/** A failed call or stream. */
export interface CallFailure {
  readonly client: string;
  /** Such as `Put r/1/2`. */
  readonly what: string;
  readonly status: number;
  readonly message: string;
  readonly startedAt: number;
  /** The proxy that the client was connected to. */
  readonly proxy: string;
}

/** A fault, and what it may affect. */
export interface Excuse {
  readonly what: string;
  /** The proxy concerned; undefined: all. */
  readonly proxy: string | undefined;
  readonly from: number;
  to: number;
}

export class Reports {
  /** Failures by code and message, excused or not. */
  readonly counts = new Map<string, number>();
  wrongAnswers = 0;
  unexcused = 0;
  readonly #excuses: Excuse[] = [];
  readonly #operations: string[] = [];

  /** Records that something happened, for the log of a failure. */
  operation(client: string, what: string): void {
    this.#operations.push(`${Math.round(performance.now())} ${client}: ${what}`);
    if (this.#operations.length > 2 * MAX_OPERATIONS) this.#operations.splice(0, MAX_OPERATIONS);
  }

  /** Begins a fault. The caller sets `to` when its effects are over. */
  excuse(what: string, proxy?: string): Excuse {
    const excuse = { what, proxy, from: performance.now(), to: Infinity };
    this.#excuses.push(excuse);
    this.operation("fault", what);
    return excuse;
  }

  failed(failure: CallFailure): void {
    const { client, what, status, message, startedAt, proxy } = failure;
    const now = performance.now();
    // Without its numbers, so that failures of the same kind count as one.
    const kind = `${status} ${message.replace(/\d+/g, "N")}`;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.operation(client, `${what} failed: ${status} ${message}`);
    if (message.includes("ENOBUFS")) {
      console.log(
        proxy,
        Math.round(startedAt),
        Math.round(now),
        client,
        what,
        message,
        this.#operations
          .filter((l) => l.includes(" fault:"))
          .slice(-4)
          .join(" | "),
      );
    }
    const isExcused = this.#excuses.some(
      (excuse) =>
        startedAt <= excuse.to &&
        now >= excuse.from &&
        (excuse.proxy === undefined || excuse.proxy === proxy),
    );
    if (isExcused && ALLOWED.has(status)) return;

    this.unexcused++;
    const ms = Math.round(now - startedAt);
    this.#print(client, `NOT EXCUSED: ${client} at ${proxy}, ${what}, ${ms} ms: ${kind}`);
  }

  wrong(key: string, message: string): void {
    this.wrongAnswers++;
    this.#print(key, `WRONG: ${key}: ${message}`);
  }

  problems(): string[] {
    const { wrongAnswers, unexcused } = this;
    return [
      ...(wrongAnswers > 0 ? [`${wrongAnswers} wrong answers`] : []),
      ...(unexcused > 0 ? [`${unexcused} failures that no fault excuses`] : []),
    ];
  }

  #print(about: string, message: string): void {
    if (this.wrongAnswers + this.unexcused > MAX_PRINTED) return;
    const isAbout = (line: string) => line.includes(` ${about}`) || line.includes(" fault:");
    const lines = this.#operations.filter(isAbout).slice(-MAX_SHOWN);
    console.error(`${Math.round(performance.now())} ${message}`);
    for (const line of lines) console.error(`    ${line}`);
  }
}
