// The log: one line an event, on the stream it is given. JSON in the shape of
// etcd's zap encoder, or a line for people. The only file that knows consola.
import { createConsola, type ConsolaReporter, LogLevels } from "consola/core";
import type { LogLevel } from "../core/gateway-config.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Writes one event. `message` is a constant text; what varies goes into `fields`. */
export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same log for another part of the program, given as `room/file.ts`. */
  from(caller: string): Logger;
}

/** What one line is made of. */
export interface LogRecord {
  readonly ts: string;
  readonly level: string;
  readonly msg: string;
  readonly fields: Fields;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "json" | "console";
  /** Takes one line with its line feed, and returns whether it did; must not throw. */
  readonly write: (line: string) => boolean;
  /** Milliseconds since 1970, fractions are microseconds. */
  readonly now: () => number;
  /** Hears of each line that is written; must not log. */
  readonly onRecord?: (record: LogRecord) => void;
}

/** A log whose level may change while it is written. */
export interface Log extends Logger {
  setLevel(level: LogLevel): void;
}

/** Opens a log. It holds no resource and needs no closing. */
export function createLog({ level, format, write, now, onRecord }: LogOptions): Log {
  const encode = format === "json" ? encodeJson : encodeLine;
  let dropped = 0;
  const reportDropped = (ts: string) => {
    const head = { level: "warn", ts, caller: "observe/log.ts", msg: "dropped log lines" };
    if (write(encode(head, { count: dropped }))) dropped = 0;
  };
  const reporter: ConsolaReporter = {
    log: ({ type, args: [message, fields, caller] }) => {
      const head = { level: type, ts: timestamp(now()), caller, msg: message };
      if (dropped > 0) reportDropped(head.ts);
      // The report must precede the next line, so that line is dropped too if the report failed.
      if (dropped > 0 || !write(encode(head, fields))) dropped++;
      onRecord?.({ ...head, fields: fields ?? {} });
    },
  };
  // throttle 0: consola would hold back the 7th identical message of a second.
  const consola = createConsola({ level: LogLevels[level], throttle: 0, reporters: [reporter] });
  const from = (caller: string): Logger => ({
    // The message comes first: consola unpacks a leading object as its own record.
    debug: (message, fields) => consola.debug(message, fields, caller),
    info: (message, fields) => consola.info(message, fields, caller),
    warn: (message, fields) => consola.warn(message, fields, caller),
    error: (message, fields) => consola.error(message, fields, caller),
    from,
  });
  return {
    ...from("main.ts"),
    setLevel: (wanted) => {
      consola.level = LogLevels[wanted];
    },
  };
}

interface Head {
  readonly level: string;
  readonly ts: string;
  readonly caller: string;
  readonly msg: string;
}

function encodeJson(head: Head, fields: Fields | undefined): string {
  return `${JSON.stringify({ ...head, ...fields })}\n`;
}

function encodeLine({ level, ts, msg }: Head, fields: Fields = {}): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${plain(value)}`);
  return `${ts} ${level.toUpperCase().padEnd(5)} ${msg}${pairs.join("")}\n`;
}

/** Bare where that is unambiguous, else quoted: a value never breaks the line. */
function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(",");
  const text = String(value);
  return /^[\w.:/[\]%@+-]+$/.test(text) ? text : JSON.stringify(text);
}

/** RFC 3339 in UTC with microseconds, as zap writes it for etcd. */
function timestamp(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.floor((ms - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}
