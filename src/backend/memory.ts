import { assert } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import {
  type AppendOutcome,
  type Backend,
  BackendError,
  type Batch,
  type Head,
  type LoadSink,
  type RowId,
  type SizeInfo,
  type Snapshot,
} from "./backend.ts";
import { ROW_HEADER_BYTES, RowReader } from "./row_block.ts";
import { RecordColumns } from "./record.ts";
import { encodeState } from "./state_codec.ts";
import type { StateChange, StateKind } from "./state_change.ts";

/**
 * Keeps the log in memory: for tests, and for servers whose data may go when they stop.
 *
 * Invariant: `#rows` is sorted by (rev, sub), and `#live` of its entries are not removed.
 */
export class MemoryBackend implements Backend {
  readonly name = "memory";
  readonly isExclusive = true;
  #rows: Row[] = [];
  #live = 0;
  #bytes = 0;
  #batches: Batch[] = [];
  #state = new Map<string, StateChange>();
  #head: Head = { seq: 0, revision: 1 };
  #isOpen = false;

  open(): Promise<Head> {
    this.#isOpen = true;
    return Promise.resolve(this.#head);
  }

  // Async functions, so that what is thrown in them becomes a rejection as with every other driver.
  // deno-lint-ignore require-await
  async load(sink: LoadSink): Promise<Head> {
    this.#check();
    for (const change of this.#state.values()) sink.state(change);
    const rows = this.#rows.filter((row) => row.block !== undefined);
    for (let at = 0; at < rows.length; at += LOAD_BLOCK_ROWS) {
      sink.rows(join(rows.slice(at, at + LOAD_BLOCK_ROWS)));
    }
    return this.#head;
  }

  // deno-lint-ignore require-await
  async append(batch: Batch): Promise<AppendOutcome> {
    this.#check();
    if (batch.seq <= this.#head.seq) {
      const id = this.#batchAt(batch.seq)?.id;
      return id !== undefined && equalBytes(id, batch.id)
        ? "committed"
        : "conflict";
    }
    if (batch.seq !== this.#head.seq + 1) {
      throw new BackendError(
        `Cannot append batch ${batch.seq}: the log ends at ${this.#head.seq}`,
      );
    }
    const kept = { ...batch, id: batch.id.slice(), rows: batch.rows.slice() };
    this.#addRows(kept);
    for (const change of kept.state) this.#applyState(change);
    this.#batches.push(kept);
    this.#head = { seq: kept.seq, revision: kept.lastRev };
    return "committed";
  }

  // deno-lint-ignore require-await
  async head(): Promise<Head> {
    this.#check();
    return this.#head;
  }

  // deno-lint-ignore require-await
  async batchIdAt(seq: number): Promise<Uint8Array | undefined> {
    this.#check();
    return this.#batchAt(seq)?.id;
  }

  // deno-lint-ignore require-await
  async batchesAfter(seq: number, limit: number): Promise<Batch[]> {
    this.#check();
    const found = this.#batches.filter((batch) => batch.seq > seq).slice(
      0,
      limit,
    );
    return found.map((batch) => {
      const rows: Row[] = [];
      for (let i = this.#find(batch.firstRev, 0); i < this.#rows.length; i++) {
        const row = this.#rows[i]!;
        if (row.rev > batch.lastRev) break;
        if (row.block !== undefined) rows.push(row);
      }
      return { ...batch, rows: join(rows) };
    });
  }

  // deno-lint-ignore require-await
  async valuesOf(
    rows: readonly RowId[],
  ): Promise<(Uint8Array | undefined)[]> {
    this.#check();
    return rows.map(({ rev, sub }) =>
      this.#rowAt(rev, sub)?.block?.slice(ROW_HEADER_BYTES)
    );
  }

  // deno-lint-ignore require-await
  async eventsAfter(rev: number, maxBytes: number): Promise<Uint8Array> {
    this.#check();
    const rows: Row[] = [];
    let bytes = 0;
    let last = rev;
    for (let i = this.#find(rev + 1, 0); i < this.#rows.length; i++) {
      const row = this.#rows[i]!;
      if (row.block === undefined) continue;
      if (bytes >= maxBytes && rows.length > 0 && row.rev !== last) break;
      last = row.rev;
      bytes += row.block.length;
      rows.push(row);
    }
    return join(rows);
  }

  // deno-lint-ignore require-await
  async remove(rows: readonly RowId[]): Promise<void> {
    this.#check();
    for (const { rev, sub } of rows) {
      const row = this.#rowAt(rev, sub);
      if (row?.block === undefined) continue;
      this.#bytes -= row.block.length;
      this.#live--;
      row.block = undefined;
    }
    if (this.#live < this.#rows.length / 2) {
      this.#rows = this.#rows.filter((row) => row.block !== undefined);
    }
  }

  // deno-lint-ignore require-await
  async trimBatches(belowSeq: number): Promise<void> {
    this.#check();
    const end = Math.min(belowSeq, this.#head.seq);
    this.#batches = this.#batches.filter((batch) => batch.seq >= end);
  }

  /** Nobody else can commit: `onCommit` is never called. */
  watchCommits(_onCommit: (seq: number) => void): () => void {
    return () => {};
  }

  /** All state changes, then all rows, behind their lengths; padded as every snapshot is. */
  // deno-lint-ignore require-await
  async snapshot(): Promise<Snapshot> {
    this.#check();
    const state = encodeState([...this.#state.values()]);
    const rows = join(this.#rows.filter((row) => row.block !== undefined));
    const used = SNAPSHOT_HEADER_BYTES + state.length + rows.length;
    const bytes = new Uint8Array(
      Math.ceil(used / SNAPSHOT_UNIT_BYTES) * SNAPSHOT_UNIT_BYTES,
    );
    const view = new DataView(bytes.buffer);
    view.setFloat64(0, this.#head.seq);
    view.setFloat64(8, this.#head.revision);
    view.setFloat64(16, state.length);
    view.setFloat64(24, rows.length);
    bytes.set(state, SNAPSHOT_HEADER_BYTES);
    bytes.set(rows, SNAPSHOT_HEADER_BYTES + state.length);
    let isClosed = false;
    return {
      sizeBytes: bytes.length,
      // deno-lint-ignore require-await
      read: async (offset, maxBytes) => {
        if (isClosed) {
          throw new BackendError("Cannot read a snapshot: it is closed", {
            kind: "closed",
          });
        }
        return bytes.slice(offset, offset + maxBytes);
      },
      close: () => {
        isClosed = true;
        return Promise.resolve();
      },
    };
  }

  // deno-lint-ignore require-await
  async size(): Promise<SizeInfo> {
    this.#check();
    return { totalBytes: this.#bytes, inUseBytes: this.#bytes };
  }

  // deno-lint-ignore require-await
  async defragment(): Promise<void> {
    this.#check();
  }

  /** What was appended is there again after the next `open`. */
  close(): Promise<void> {
    this.#isOpen = false;
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#isOpen) return;
    throw new BackendError("Cannot use the backend: it is closed", {
      kind: "closed",
    });
  }

  #addRows(batch: Batch): void {
    const reader = new RowReader(batch.rows);
    const columns = new RecordColumns();
    while (reader.next()) {
      columns.read(batch.rows, reader.recordStart, reader.recordEnd);
      const rev = columns.modRev;
      const last = this.#rows.at(-1);
      assert(
        rev >= batch.firstRev && rev <= batch.lastRev,
        "row is outside its batch",
      );
      assert(
        last === undefined || last.rev < rev ||
          (last.rev === rev && last.sub < reader.sub),
        "rows are out of order",
      );
      const block = batch.rows.subarray(
        reader.recordStart - ROW_HEADER_BYTES,
        reader.recordEnd,
      );
      this.#rows.push({ rev, sub: reader.sub, block });
      this.#live++;
      this.#bytes += block.length;
    }
  }

  #applyState(change: StateChange): void {
    const id = stateId(change.kind, change.key);
    if (change.value === undefined) this.#state.delete(id);
    else this.#state.set(id, change);
  }

  #batchAt(seq: number): Batch | undefined {
    const first = this.#batches[0];
    return first === undefined ? undefined : this.#batches[seq - first.seq];
  }

  #rowAt(rev: number, sub: number): Row | undefined {
    const row = this.#rows[this.#find(rev, sub)];
    return row?.rev === rev && row.sub === sub ? row : undefined;
  }

  /** Index of the first row that is not before (rev, sub). */
  #find(rev: number, sub: number): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const row = this.#rows[middle]!;
      if (row.rev < rev || (row.rev === rev && row.sub < sub)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

interface Row {
  readonly rev: number;
  readonly sub: number;
  /** The row with its header; undefined once removed. */
  block: Uint8Array | undefined;
}

/** Rows in a block of `load`. */
const LOAD_BLOCK_ROWS = 1000;

/** Snapshots are whole numbers of these, as etcd's are: a trailing checksum can then be told from data. */
const SNAPSHOT_UNIT_BYTES = 512;
const SNAPSHOT_HEADER_BYTES = 32;

function stateId(kind: StateKind, key: Uint8Array): string {
  return `${kind}:${key.toHex()}`;
}

function join(rows: readonly Row[]): Uint8Array {
  let size = 0;
  for (const { block } of rows) size += block?.length ?? 0;
  const out = new Uint8Array(size);
  let at = 0;
  for (const { block } of rows) {
    if (block === undefined) continue;
    out.set(block, at);
    at += block.length;
  }
  return out;
}
