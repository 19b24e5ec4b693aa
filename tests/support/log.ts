import type { LogFields, Logger, LogLevel } from "../../src/base/log.ts";

/** One entry as it was told. */
export interface CapturedEntry {
  readonly level: LogLevel;
  readonly msg: string;
  readonly fields: LogFields;
}

/** Keeps every entry, whatever its level; children write to the same list. */
export class CapturingLogger implements Logger {
  constructor(
    readonly entries: CapturedEntry[] = [],
    readonly fields: LogFields = {},
  ) {}

  debug(msg: string, fields?: LogFields): void {
    this.#keep("debug", msg, fields);
  }

  info(msg: string, fields?: LogFields): void {
    this.#keep("info", msg, fields);
  }

  warn(msg: string, fields?: LogFields): void {
    this.#keep("warn", msg, fields);
  }

  error(msg: string, fields?: LogFields): void {
    this.#keep("error", msg, fields);
  }

  child(fields: LogFields): Logger {
    return new CapturingLogger(this.entries, { ...this.fields, ...fields });
  }

  enabled(): boolean {
    return true;
  }

  /** The messages of one level, in order. */
  messages(level: LogLevel): string[] {
    return this.entries.filter((e) => e.level === level).map((e) => e.msg);
  }

  #keep(level: LogLevel, msg: string, fields: LogFields = {}): void {
    this.entries.push({ level, msg, fields: { ...this.fields, ...fields } });
  }
}
