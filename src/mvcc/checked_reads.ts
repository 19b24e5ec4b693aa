import { type Backend, BackendError, type RowId } from "../backend/backend.ts";
import { DomainError } from "../base/errors.ts";

/** What memory let go, read back from the backend. */
export type HistoryReader = Pick<Backend, "valuesOf" | "eventsAfter">;

export interface ReadChecks {
  /** Told of what cannot be what was written. */
  readonly onCorrupt: (error: BackendError) => void;
  /** Told of a read that failed for any other reason. */
  readonly onFailure: (error: BackendError) => void;
  /**
   * Below which revision rows may be gone, asked of the database: others may have compacted what is not compacted
   * here yet. Undefined: nobody else does.
   */
  readonly compactRevision: (() => Promise<number>) | undefined;
}

/**
 * Reads back, and never hands out what is damaged or has holes; the reader gets "corrupt", "compacted" or "unhealthy".
 *
 * The read that failed last is kept, since a disk may fail in one place only: all is well again once that one works.
 */
export class CheckedReads implements HistoryReader {
  readonly #backend: HistoryReader;
  readonly #checks: ReadChecks;
  #failed: FailedRead | undefined = undefined;

  constructor(backend: HistoryReader, checks: ReadChecks) {
    this.#backend = backend;
    this.#checks = checks;
  }

  /** Why a read failed, until `probe` has seen it work; undefined while all is well. */
  get failure(): BackendError | undefined {
    return this.#failed?.error;
  }

  /** Repeats the read that failed last, if there is one. */
  async probe(): Promise<void> {
    const failed = this.#failed;
    if (failed === undefined) return;
    await failed.again();
    if (this.#failed === failed) this.#failed = undefined;
  }

  async valuesOf(
    rows: readonly RowId[],
  ): Promise<(Uint8Array | undefined)[]> {
    try {
      return await this.#backend.valuesOf(rows);
    } catch (error) {
      throw this.#known(error, () => this.#backend.valuesOf(rows));
    }
  }

  async eventsAfter(rev: number, maxBytes: number): Promise<Uint8Array> {
    try {
      const events = await this.#backend.eventsAfter(rev, maxBytes);
      const compacted = await this.#checks.compactRevision?.() ?? -1;
      if (rev + 1 < compacted) throw new DomainError("compacted");
      return events;
    } catch (error) {
      throw this.#known(error, () => this.#backend.eventsAfter(rev, maxBytes));
    }
  }

  #known(error: unknown, again: () => Promise<unknown>): unknown {
    if (!(error instanceof BackendError)) return error;
    if (error.kind !== "corrupt") {
      this.#failed = { error, again };
      this.#checks.onFailure(error);
      return new DomainError("unhealthy", { cause: error });
    }
    this.#checks.onCorrupt(error);
    return new DomainError("corrupt", { cause: error });
  }
}

interface FailedRead {
  readonly error: BackendError;
  readonly again: () => Promise<unknown>;
}
