import { ReplicaRoster } from "./replica_roster.ts";
import { AssertionError } from "../../../base/assert.ts";
import { equalBytes } from "../../../base/bytes.ts";
import type { Clock } from "../../../base/clock.ts";
import {
  type AppendOutcome,
  BackendError,
  type BackendErrorKind,
  type Head,
  type SizeInfo,
} from "../../backend.ts";
import { decodeState, encodeState } from "../../state_codec.ts";
import type { StateChange, StateKind } from "../../state_change.ts";
import {
  type BreakerListener,
  CircuitBreaker,
  DatabaseAway,
} from "./circuit_breaker.ts";
import type {
  Dialect,
  NewBatch,
  StoredBatch,
  StoredRow,
  Warning,
} from "./dialect.ts";
import {
  rowPages,
  ROWS_PER_PAGE,
  STATE_PER_PAGE,
  stateChanges,
} from "./pages.ts";
import { type BatchMessage, unpackRowIds } from "./protocol.ts";
import { MISSING, type ValuesAnswer } from "../thread_messages.ts";
import { NoAnswer, Retry, type RetryOptions } from "./retry.ts";
import { RowOutput } from "./row_output.ts";
import { SeenBatches, wentBack } from "./seen_batches.ts";
import { snapshotFile } from "./snapshot_file.ts";
import { stateId } from "./state_id.ts";

/**
 * The log in a database that others may use too, inside the worker: what is the same for every engine.
 *
 * Every statement and every batch is tried again as a whole when a connection is lost or the database asks for it.
 * What became of a batch whose answer was lost is never guessed: a batch is there or not, and its id says whose it
 * is. The attempt before may still be running; then the primary key makes one of the two wait for the other.
 */
export class RemoteDatabase {
  readonly replicas: ReplicaRoster;
  readonly #dialect: Dialect;
  readonly #seen = new SeenBatches();
  readonly #retry: Retry;
  readonly #opening: Retry;
  readonly #breaker: CircuitBreaker;
  readonly #faults: {
    readonly of: Dialect["faultOf"];
    readonly lost: (error: NoAnswer) => void;
  };

  constructor(
    dialect: Dialect,
    clock: Clock,
    options: Partial<RetryOptions> & { readonly random?: () => number } = {},
    listener: BreakerListener = NO_LISTENER,
  ) {
    this.#dialect = dialect;
    const retryOptions = { ...RETRY_OPTIONS, ...options };
    this.#retry = new Retry(clock, retryOptions);
    this.#opening = new Retry(clock, {
      ...retryOptions,
      attemptTimeoutMs: Math.max(retryOptions.attemptTimeoutMs, OPEN_MS),
    });
    const once = new Retry(clock, { ...retryOptions, deadlineMs: 0 });
    this.#breaker = new CircuitBreaker(
      clock,
      () => once.run(() => dialect.head(), this.#faults),
      listener,
    );
    this.#faults = {
      of: (error) =>
        error instanceof DatabaseAway ? "fatal" : dialect.faultOf(error),
      lost: (error) => {
        this.#breaker.failed(error);
        dialect.reset();
      },
    };
    const announcing = new Retry(clock, ONCE);
    this.replicas = new ReplicaRoster(
      dialect.replicas,
      (attempt) => announcing.run(this.#guarded(attempt), this.#faults),
    );
  }

  async open(): Promise<{ head: Head; warnings: readonly Warning[] }> {
    const warnings = await this.#opening.run(
      this.#guarded(() => this.#dialect.open()),
      this.#faults,
    );
    return { head: await this.head(), warnings };
  }

  async append(message: BatchMessage): Promise<AppendOutcome> {
    const batch: NewBatch = {
      ...message,
      previousId: this.#seen.idAt(message.seq - 1),
      state: lastChanges(decodeState(message.ops)),
    };
    let attempts = 0;
    const { seq, id } = message;
    for (let rounds = 0; rounds < MAX_ROUNDS; rounds++) {
      const done = await this.#try(async () => {
        attempts++;
        try {
          return await this.#dialect.insertBatch(batch);
        } catch (error) {
          if (this.#dialect.faultOf(error) === "duplicate") return false;
          throw error;
        }
      });
      const outcome = done
        ? "committed"
        : await this.#settle(batch, { isFirst: attempts === 1 });
      if (outcome === "committed") this.#seen.note({ seq, id });
      if (outcome !== undefined) return outcome;
    }
    throw new BackendError(
      `Cannot append batch ${seq}: it is not there, and a part of it is in the way`,
      {
        kind: "corrupt",
        cure:
          "Rows or batches were changed by hand, or lost: restore a backup of the database.",
      },
    );
  }

  async head(): Promise<Head> {
    const lastBefore = this.#seen.last;
    const head = await this.#try(() => this.#dialect.head());
    this.#seen.checkEnd(head.seq, lastBefore);
    if (head.id !== undefined) this.#seen.note({ seq: head.seq, id: head.id });
    return head;
  }

  batchIdAt(seq: number): Promise<Uint8Array | undefined> {
    return this.#try(() => this.#dialect.batchIdAt(seq));
  }

  /** State into `sink.state`, then rows into `sink.rows`, each of which resolves when there is room for more. */
  load(sink: LoadWindow): Promise<Head> {
    // Others go on writing and compacting meanwhile. Not tried again: the sink has had a part of it.
    return this.#dialect.readConsistently(async (reader) => {
      const head = await reader.head();
      for await (const changes of stateChanges(reader)) {
        await sink.state(encodeState(changes));
      }
      const out = new RowOutput({ expectedBytes: LOAD_BLOCK_BYTES });
      const range = {
        afterRev: 0,
        throughRev: head.revision,
        ahead: true,
      };
      for await (const rows of rowPages(reader, range)) {
        for (const row of rows) {
          out.add(row);
          if (out.byteLength >= LOAD_BLOCK_BYTES) await sink.rows(out.take());
        }
      }
      if (out.byteLength > 0) await sink.rows(out.take());
      return head;
    });
  }

  /** All state of a kind of which there is little, encoded. */
  async stateOf(kind: StateKind): Promise<Uint8Array> {
    const changes: StateChange[] = [];
    let afterId: Uint8Array | undefined;
    for (;;) {
      const page = { afterId, maxEntries: STATE_PER_PAGE };
      const entries = await this.#try(() => this.#dialect.state(kind, page));
      for (const { key, value } of entries) changes.push({ kind, key, value });
      if (entries.length < STATE_PER_PAGE) return encodeState(changes);
      afterId = entries.at(-1)!.id;
    }
  }

  async eventsAfter(
    rev: number,
    maxBytes: number,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const out = new RowOutput();
    let last = rev;
    for await (const rows of this.#rowPages(rev, Number.MAX_SAFE_INTEGER)) {
      for (const row of rows) {
        const isFull = out.byteLength > 0 && out.byteLength >= maxBytes;
        if (isFull && row.rev !== last) return out.take();
        out.add(row);
        last = row.rev;
      }
    }
    return out.take();
  }

  async batchesAfter(seq: number, limit: number): Promise<BatchMessage[]> {
    const found = await this.#batchesAfter(seq, limit);
    const first = found[0];
    if (first === undefined) return [];
    const pages = this.#rowPages(first.firstRev - 1, found.at(-1)!.lastRev);
    const rows = flatten(pages);
    const batches: BatchMessage[] = [];
    let next = await rows.next();
    for (const batch of found) {
      const out = new RowOutput();
      while (!next.done && next.value.rev <= batch.lastRev) {
        out.add(next.value);
        next = await rows.next();
      }
      batches.push({ ...batch, rows: out.take() });
    }
    return batches;
  }

  async valuesOf(packed: Float64Array): Promise<ValuesAnswer> {
    const count = packed.length / 2;
    const sizes = new Uint32Array(count);
    const out = new RowOutput();
    for (let from = 0; from < count; from += ROWS_PER_PAGE) {
      const to = Math.min(from + ROWS_PER_PAGE, count);
      const ids = unpackRowIds(packed, { from, to });
      const found = await this.#try(() => this.#dialect.rowsOf(ids));
      const byId = new Map<string, StoredRow>();
      for (const row of found) byId.set(`${row.rev}/${row.sub}`, row);
      for (const [i, { rev, sub }] of ids.entries()) {
        const row = byId.get(`${rev}/${sub}`);
        sizes[from + i] = row === undefined ? MISSING : out.addRecord(row);
      }
    }
    return { bytes: out.take(), sizes };
  }

  async remove(packed: Float64Array): Promise<void> {
    const count = packed.length / 2;
    for (let from = 0; from < count; from += ROWS_PER_REMOVAL) {
      const to = Math.min(from + ROWS_PER_REMOVAL, count);
      const ids = unpackRowIds(packed, { from, to });
      await this.#try(() => this.#dialect.removeRows(ids));
    }
  }

  async trimBatches(belowSeq: number): Promise<void> {
    const head = await this.head();
    const end = Math.min(belowSeq, head.seq);
    const first = await this.#try(() => this.#dialect.firstSeq());
    for (let below = first; below < end;) {
      below = Math.min(below + BATCHES_PER_REMOVAL, end);
      await this.#try(() => this.#dialect.removeBatchesBelow(below));
    }
  }

  /** The bytes of a file like the embedded driver's, which `stele snapshot restore` reads. */
  snapshot(): Promise<Uint8Array> {
    return this.#unlimited(() =>
      this.#dialect.readConsistently((reader) => snapshotFile(reader))
    );
  }

  size(): Promise<SizeInfo> {
    return this.#try(() => this.#dialect.size());
  }

  defragment(): Promise<void> {
    return this.#unlimited(() => this.#dialect.defragment());
  }

  listen(heard: (seq: number) => void, lost: () => void): Promise<boolean> {
    return this.#dialect.listen(heard, lost);
  }

  close(): Promise<void> {
    this.#breaker.stop();
    this.#retry.close();
    this.#opening.close();
    return this.#dialect.close();
  }

  /** What a failed call is answered with; undefined for a mistake of ours. */
  errorOf(action: string, error: unknown): BackendError | undefined {
    if (error instanceof NoAnswer || error instanceof DatabaseAway) {
      const { message, cure } = error;
      return new BackendError(`Cannot ${action}: ${message}`, {
        cause: error,
        cure,
      });
    }
    if (error instanceof BackendError) return error;
    if (error instanceof AssertionError) return undefined;
    const state = error instanceof Error ? error.message : String(error);
    return new BackendError(`Cannot ${action}: ${state}`, {
      kind: KIND_OF_FAULT[this.#dialect.faultOf(error)],
      cause: error,
    });
  }

  /** Without their rows. The one before them is read as well if it was seen: it must still be the same. */
  async #batchesAfter(seq: number, limit: number): Promise<StoredBatch[]> {
    const back = this.#seen.idAt(seq) === undefined ? 0 : 1;
    const found = await this.#try(() =>
      this.#dialect.batchesAfter(seq - back, limit + back)
    );
    for (const batch of found) this.#seen.note(batch);
    return found.filter((batch) => batch.seq > seq).slice(0, limit);
  }

  /**
   * Whose batch is at its seq; undefined if nobody's, so that it can be tried again. `isFirst`: no attempt before
   * this one can have added it.
   */
  async #settle(
    batch: NewBatch,
    { isFirst }: { isFirst: boolean },
  ): Promise<AppendOutcome | undefined> {
    const id = await this.batchIdAt(batch.seq);
    if (id !== undefined) {
      return equalBytes(id, batch.id) ? "committed" : "conflict";
    }
    const { seq } = await this.head();
    if (seq >= batch.seq) {
      if (isFirst) return "conflict";
      throw new BackendError(
        `Cannot append batch ${batch.seq}: an answer was lost, and the log has been trimmed since, so that nobody knows whether it is there`,
      );
    }
    // With another batch before it than we know, `head` would have thrown.
    if (seq === batch.seq - 1) return undefined;
    throw wentBack(
      `ends at batch ${seq}, and batch ${batch.seq - 1} was there`,
    );
  }

  #try<T>(attempt: () => Promise<T>): Promise<T> {
    return this.#retry.run(this.#guarded(attempt), this.#faults);
  }

  /** Not made at all while the database is away; what comes of it, the breaker is told. */
  #guarded<T>(attempt: () => Promise<T>): () => Promise<T> {
    return async () => {
      this.#breaker.check();
      try {
        const result = await attempt();
        this.#breaker.succeeded();
        return result;
      } catch (error) {
        if (this.#faults.of(error) === "transient") this.#breaker.failed(error);
        else this.#breaker.succeeded();
        throw error;
      }
    };
  }

  /** For what takes as long as it takes; tried again once at most, since each attempt starts over. */
  async #unlimited<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (this.#dialect.faultOf(error) !== "transient") throw error;
      return await attempt();
    }
  }

  #rowPages(
    afterRev: number,
    throughRev: number,
  ): AsyncGenerator<StoredRow[], void> {
    return rowPages({
      rows: (page) => this.#try(() => this.#dialect.rows(page)),
    }, { afterRev, throughRev });
  }
}

const NO_LISTENER: BreakerListener = { away: () => {}, back: () => {} };

/** A batch that nobody has, and that cannot be added all the same, is tried so often: others may come and go meanwhile. */
const MAX_ROUNDS = 10;

/** Where a load goes: each call resolves when there is room for the next block. */
export interface LoadWindow {
  state(block: Uint8Array<ArrayBuffer>): Promise<void>;
  rows(block: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** How long the worker bears with a database that does not answer. */
const RETRY_OPTIONS: RetryOptions = {
  attemptTimeoutMs: 10_000,
  deadlineMs: 30_000,
};

/** Some twenty statements that create tables have at least so long in all, however little one may take. */
const OPEN_MS = 10_000;

/** For what is worth nothing when it comes late. */
const ONCE: RetryOptions = { attemptTimeoutMs: 5000, deadlineMs: 0 };

const LOAD_BLOCK_BYTES = 1024 * 1024;
/** Small transactions, so that writers do not wait for them. */
const ROWS_PER_REMOVAL = 500;
const BATCHES_PER_REMOVAL = 1000;

const KIND_OF_FAULT: Record<
  ReturnType<Dialect["faultOf"]>,
  BackendErrorKind
> = {
  transient: "failed",
  duplicate: "failed",
  noSpace: "noSpace",
  fatal: "failed",
};

/** The last change of each entry: one statement can change an entry once. */
function lastChanges(changes: readonly StateChange[]): StateChange[] {
  const last = new Map<string, StateChange>();
  for (const change of changes) {
    last.set(`${change.kind}:${stateId(change.key).toHex()}`, change);
  }
  return [...last.values()];
}

async function* flatten(
  pages: AsyncGenerator<StoredRow[], void>,
): AsyncGenerator<StoredRow, void> {
  for await (const rows of pages) yield* rows;
}
