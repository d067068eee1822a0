// The log: writes one line for each event, as JSON in the format of etcd's zap encoder or
// as text for a console. The only file that imports consola; opens no stream.
import { createConsola, type ConsolaReporter, LogLevels } from "consola/core";
import type { LogLevel } from "../core/gateway-config.ts";
import { quoted } from "../core/quoted.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Logs events. `message` is a constant text; values that vary go into `fields`. */
export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** Returns a logger for another part of the program, named as `folder/file.ts`. */
  from(caller: string): Logger;
}

/** The contents of one line, without the caller. */
export interface LogRecord {
  readonly ts: string;
  readonly level: string;
  readonly msg: string;
  readonly fields: Fields;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: "json" | "console";
  /** Writes a line, which ends with a line feed, or drops it. Returns whether it was written; must not throw. */
  readonly write: (line: string) => boolean;
  /** Returns milliseconds since 1970, with a fraction of microseconds. */
  readonly now: () => number;
  /** Called for each event, even if its line is dropped. Must not log. */
  readonly onRecord?: (record: LogRecord) => void;
}

/** A log whose level may change at any time. */
export interface Log extends Logger {
  /** Sets the lowest level that is written. */
  setLevel(level: LogLevel): void;
}

/** Creates a log. It holds no resources and need not be closed. */
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

  // By default, consola throttles identical messages after the sixth in a second.
  const consola = createConsola({ level: LogLevels[level], throttle: 0, reporters: [reporter] });
  const from = (caller: string): Logger => ({
    // The message must come first: consola treats a leading object as a log record.
    debug: (message, fields) => consola.debug(message, fields, caller),
    info: (message, fields) => consola.info(message, fields, caller),
    warn: (message, fields) => consola.warn(message, fields, caller),
    error: (message, fields) => consola.error(message, fields, caller),
    from,
  });

  return {
    ...from("main.ts"),
    setLevel: (newLevel) => {
      consola.level = LogLevels[newLevel];
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
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${formatValue(value)}`);
  return `${ts} ${level.toUpperCase().padEnd(5)} ${msg}${pairs.join("")}\n`;
}

/** Formats a value, in quotes unless it is unambiguous without them. The result never has a line break. */
function formatValue(value: unknown): string {
  if (Array.isArray(value)) return value.map(formatValue).join(",");
  const text = String(value);
  return /^[\w.:/[\]%@+-]+$/.test(text) ? text : quoted(text);
}

/** Formats a time as RFC 3339 in UTC with microseconds, as etcd's zap encoder does. */
function timestamp(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.floor((ms - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, "0")}Z`;
}
