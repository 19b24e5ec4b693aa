import type { Clock, Timer } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { type AuditEntry, auditLine } from "./audit_entry.ts";

export type { AuditEntry, AuditRange } from "./audit_entry.ts";

/** Writes down who asked for what, and what became of it. */
export interface AuditLog {
  /** Takes an entry; it is written soon after. Never throws. */
  record(entry: AuditEntry): void;
  /** Writes what is left. Idempotent. */
  close(): Promise<void>;
}

/** Where lines go. */
export interface AuditSink {
  write(bytes: Uint8Array): Promise<void>;
  close(): void;
}

/** So much is written at once, at the latest after `FLUSH_MS`. */
const FLUSH_CHARS = 64 * 1024;

/** How much of the log a crash of the process can cost. */
const FLUSH_MS = 1000;

/** What waits for a slow disk; beyond it entries are dropped and counted, for requests must not wait. */
export const MAX_WAITING_CHARS = 4 * 1024 * 1024;

/**
 * Opens `--audit-log`: `stdout`, `stderr`, or a file, which is made for its owner alone if need be and appended
 * to. Throws what the file system throws.
 */
export async function openAuditLog(
  target: string,
  clock: Clock,
  log: Logger,
): Promise<AuditLog> {
  return new BufferedAuditLog(await openSink(target), clock, log);
}

/**
 * Gathers lines and writes them many at a time, one write after the other. A failed write loses its lines; the
 * server's log says so once, and a line `{"time":…,"dropped":n}` in this one once it can be written again.
 *
 * Invariant: lines wait only while a write is under way or the timer runs.
 */
export class BufferedAuditLog implements AuditLog {
  readonly #sink: AuditSink;
  readonly #clock: Clock;
  readonly #log: Logger;
  #lines: string[] = [];
  #waitingChars = 0;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #dropped = 0;
  #isFailing = false;
  #isClosed = false;

  constructor(sink: AuditSink, clock: Clock, log: Logger) {
    this.#sink = sink;
    this.#clock = clock;
    this.#log = log;
  }

  record(entry: AuditEntry): void {
    if (this.#isClosed) return;
    if (this.#waitingChars >= MAX_WAITING_CHARS) {
      this.#dropped++;
      return;
    }
    const line = auditLine(entry, this.#clock.wallMs());
    this.#lines.push(line);
    this.#waitingChars += line.length;
    if (this.#writing !== undefined) return;
    if (this.#waitingChars >= FLUSH_CHARS) this.#flush();
    else this.#flushLater();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writing;
    this.#flush();
    await this.#writing;
    this.#sink.close();
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
      // After a failure: what came during the write.
      if (this.#lines.length > 0 && !this.#isClosed) this.#flushLater();
    });
  }

  #flushLater(): void {
    this.#timer ??= this.#clock.after(FLUSH_MS, () => this.#flush());
  }

  /** Until nothing waits any more. */
  async #writeAll(): Promise<void> {
    while (this.#lines.length > 0 || this.#dropped > 0) {
      const lines = this.#lines;
      const dropped = this.#dropped;
      this.#lines = [];
      this.#waitingChars = 0;
      this.#dropped = 0;
      try {
        const text = this.#droppedLine(dropped) + lines.join("");
        await this.#sink.write(new TextEncoder().encode(text));
        this.#isFailing = false;
      } catch (error) {
        this.#dropped += dropped + lines.length;
        if (!this.#isFailing) {
          this.#log.error("audit log cannot be written", { error });
        }
        this.#isFailing = true;
        return;
      }
    }
  }

  /** Begins with a newline: what was being written when it failed may have stopped within a line. */
  #droppedLine(dropped: number): string {
    if (dropped === 0) return "";
    const time = new Date(this.#clock.wallMs()).toISOString();
    return `\n${JSON.stringify({ time, dropped })}\n`;
  }
}

async function openSink(target: string): Promise<AuditSink> {
  if (target === "stdout") return streamSink(Deno.stdout);
  if (target === "stderr") return streamSink(Deno.stderr);
  const file = await Deno.open(target, {
    append: true,
    create: true,
    mode: 0o600,
  });
  return { ...streamSink(file), close: () => file.close() };
}

/** The standard streams stay open. */
function streamSink(
  stream: { write(bytes: Uint8Array): Promise<number> },
): AuditSink {
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length;) {
        at += await stream.write(bytes.subarray(at));
      }
    },
    close() {},
  };
}
