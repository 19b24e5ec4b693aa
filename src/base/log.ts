import type { Clock } from "./clock.ts";

/** How much an entry matters; an entry below the logger's level is dropped. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** `json`: one object per line. `console`: tab-separated, for people. */
export type LogFormat = "json" | "console";

/**
 * What an entry is about, by name. Errors are written with their chain of causes, `bigint`s in decimal,
 * and byte strings only as their length: what a client stores never reaches a log.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where entries are told. Messages are literals; what varies goes into the fields. */
export interface Logger {
  debug(msg: string, fields?: LogFields): void;
  /** Rare in a healthy server. */
  info(msg: string, fields?: LogFields): void;
  /** May heal by itself. */
  warn(msg: string, fields?: LogFields): void;
  /** Something was lost. */
  error(msg: string, fields?: LogFields): void;
  /** A logger that adds these fields to each of its entries. */
  child(fields: LogFields): Logger;
  /** Whether entries of this level are written: ask before gathering costly fields. */
  enabled(level: LogLevel): boolean;
}

/** Takes one whole line, newline included. */
export interface LogSink {
  write(line: string): void;
}

export interface LogOptions {
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Default `json`. */
  readonly format?: LogFormat;
  readonly clock: Clock;
  /** Default: standard error. Every entry goes to each of them. */
  readonly outputs?: readonly LogSink[];
}

const RANK: Readonly<Record<LogLevel, number>> = {
  debug: 0,
  info: 1,
  warn: 2,
  error: 3,
};

/** An error's causes are followed this far, so that a circle of causes ends. */
const MAX_CAUSES = 8;

/** Objects within fields are followed this deep. */
const MAX_DEPTH = 6;

/** What the entry says itself; a field of the same name gets a `_` behind it. */
const RESERVED: ReadonlySet<string> = new Set(["level", "ts", "msg"]);

const ENCODER = new TextEncoder();

/** Standard error, written synchronously: a line is out before the process can die. */
export const STDERR_SINK: LogSink = {
  write(line) {
    writeAllSync(Deno.stderr, line);
  },
};

/** Standard output, likewise. */
export const STDOUT_SINK: LogSink = {
  write(line) {
    writeAllSync(Deno.stdout, line);
  },
};

/** Writes structured entries to standard error, or to the outputs it is given. */
export class StderrLogger implements Logger {
  readonly #rank: number;
  readonly #format: LogFormat;
  readonly #clock: Clock;
  readonly #outputs: readonly LogSink[];
  #fields: LogFields = {};

  constructor(
    { level = "info", format = "json", clock, outputs = [STDERR_SINK] }:
      LogOptions,
  ) {
    this.#rank = RANK[level];
    this.#format = format;
    this.#clock = clock;
    this.#outputs = outputs;
  }

  debug(msg: string, fields?: LogFields): void {
    this.#write("debug", msg, fields);
  }

  info(msg: string, fields?: LogFields): void {
    this.#write("info", msg, fields);
  }

  warn(msg: string, fields?: LogFields): void {
    this.#write("warn", msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    this.#write("error", msg, fields);
  }

  child(fields: LogFields): Logger {
    const child = new StderrLogger({
      level: levelOf(this.#rank),
      format: this.#format,
      clock: this.#clock,
      outputs: this.#outputs,
    });
    child.#fields = { ...this.#fields, ...fields };
    return child;
  }

  enabled(level: LogLevel): boolean {
    return RANK[level] >= this.#rank;
  }

  #write(level: LogLevel, msg: string, fields: LogFields = {}): void {
    if (RANK[level] < this.#rank) return;
    const ts = new Date(this.#clock.wallMs()).toISOString();
    const all = plainFields({ ...this.#fields, ...fields }, level);
    const line = this.#format === "json"
      ? JSON.stringify({ level, ts, msg, ...all })
      : consoleLine(level, ts, msg, all);
    for (const output of this.#outputs) {
      try {
        output.write(line + "\n");
      } catch {
        // A full disk or a closed pipe must not stop the server, and there is nowhere left to say so.
      }
    }
  }
}

/** Drops everything: for parts that are used without a server around them. */
export const NO_LOG: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child() {
    return NO_LOG;
  },
  enabled() {
    return false;
  },
};

/** Different messages that a throttle keeps apart; messages are literals, so there are few. */
const MAX_THROTTLED_MESSAGES = 64;

interface Quiet {
  untilMs: number;
  suppressed: number;
}

/**
 * Lets a repeated message through once per period. The next one that comes through carries `suppressed`,
 * the number of those that did not.
 */
export class LogThrottle {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #periodMs: number;
  readonly #quiet = new Map<string, Quiet>();

  constructor(
    log: Logger,
    clock: Clock,
    { periodMs }: { readonly periodMs: number },
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#periodMs = periodMs;
  }

  info(msg: string, fields?: LogFields): void {
    this.#pass("info", msg, fields);
  }

  warn(msg: string, fields?: LogFields): void {
    this.#pass("warn", msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    this.#pass("error", msg, fields);
  }

  #pass(
    level: "info" | "warn" | "error",
    msg: string,
    fields: LogFields = {},
  ): void {
    const now = this.#clock.monotonicMs();
    const quiet = this.#quiet.get(msg);
    if (quiet !== undefined && now < quiet.untilMs) {
      quiet.suppressed++;
      return;
    }
    if (quiet === undefined && this.#quiet.size >= MAX_THROTTLED_MESSAGES) {
      this.#quiet.clear();
    }
    this.#quiet.set(msg, { untilMs: now + this.#periodMs, suppressed: 0 });
    const suppressed = quiet?.suppressed ?? 0;
    this.#log[level](msg, suppressed > 0 ? { ...fields, suppressed } : fields);
  }
}

/** An error and its causes in one line: `Cannot open "a.db": file is locked: EAGAIN`. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  let at: unknown = error;
  for (let i = 0; at !== undefined && i <= MAX_CAUSES; i++) {
    const text = at instanceof Error ? at.message || at.name : plainText(at);
    // What wraps an error often says what it said.
    if (parts.at(-1)?.includes(text) !== true) parts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}

function plainFields(
  fields: LogFields,
  level: LogLevel,
): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const at = RESERVED.has(name) ? `${name}_` : name;
    out[at] = plain(value, 0);
    if (
      level === "error" && value instanceof Error && value.stack !== undefined
    ) {
      out[`${at}Stack`] = value.stack;
    }
  }
  return out;
}

/** What JSON can say of a value. */
function plain(value: unknown, depth: number): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") {
    return String(value);
  }
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return errorText(value);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return `${value.byteLength} bytes`;
  }
  if (value instanceof Date) return value.toISOString();
  if (depth >= MAX_DEPTH) return "…";
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1));
  const out: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    out[name] = plain(item, depth + 1);
  }
  return out;
}

function plainText(value: unknown): string {
  const said = plain(value, 0);
  return typeof said === "string" ? said : JSON.stringify(said) ?? String(said);
}

function consoleLine(
  level: LogLevel,
  ts: string,
  msg: string,
  fields: Record<string, unknown>,
): string {
  const head = `${ts}\t${level}\t${msg}`;
  return Object.keys(fields).length === 0
    ? head
    : `${head}\t${JSON.stringify(fields)}`;
}

function levelOf(rank: number): LogLevel {
  return rank === 0
    ? "debug"
    : rank === 1
    ? "info"
    : rank === 2
    ? "warn"
    : "error";
}

function writeAllSync(
  out: { writeSync(bytes: Uint8Array): number },
  line: string,
): void {
  const bytes = ENCODER.encode(line);
  for (let at = 0; at < bytes.length;) at += out.writeSync(bytes.subarray(at));
}
