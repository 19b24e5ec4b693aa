import type { Backend, Batch, Head, RowId } from "../backend/backend.ts";
import { RowReader } from "../backend/row_block.ts";
import { StateKind, type StateTable } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { equalBytes, text, utf8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type {
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from "../pb/etcdserverpb.ts";
import { readRecordHead, RecordHead } from "../pb/key_value.ts";
import type { Change } from "./change.ts";
import type { CommitListener } from "./event.ts";
import { EventLog } from "./event_log.ts";
import { EventWindow } from "./event_window.ts";
import { Identity } from "./identity.ts";
import type { KeyEntry } from "./key_entry.ts";
import { KeyIndex } from "./key_index.ts";
import type { LeaseBook } from "./lease_book.ts";
import { LivenessJournal } from "./liveness_journal.ts";
import {
  checkReadRevision,
  RangeReader,
  type ReadView,
} from "./range_reader.ts";
import { FetchedRecords, MissingRecords, Records } from "./records.ts";
import { SupersededQueue } from "./superseded_queue.ts";
import { TxnEvaluator } from "./txn.ts";
import { ValueStore } from "./value_store.ts";
import { WriteBatch, type WriteTx } from "./write_batch.ts";
import {
  type BatchSink,
  DEFAULT_WRITE_QUEUE_LIMITS,
  WriteQueue,
  type WriteQueueLimits,
  type Written,
} from "./write_queue.ts";

export interface StoreOptions {
  /** Memory for records; beyond it they are read back from the backend. */
  readonly valueCacheBytes: number;
  /** Memory for the recent past, for watchers that are a little behind. */
  readonly eventWindowBytes: number;
  /** Entries of the journal that counts keys at past revisions. */
  readonly livenessJournalEntries: number;
  readonly queue: WriteQueueLimits;
}

export const DEFAULT_STORE_OPTIONS: StoreOptions = {
  valueCacheBytes: 1 << 30,
  eventWindowBytes: 32 << 20,
  livenessJournalEntries: 1 << 20,
  queue: DEFAULT_WRITE_QUEUE_LIMITS,
};

/** A read's answer and the revision that it shows the store at. */
export interface Read<T> {
  readonly response: T;
  readonly revision: number;
}

/** Told how long each batch took to become durable; for metrics. */
export interface CommitObserver {
  committed(durationMs: number, rows: number, bytes: number): void;
  failed(error: unknown): void;
}

const COMPACT_REVISION_KEY = utf8("compact_revision");

/**
 * The replicated state machine: all keys with their history, a function of the log of batches.
 *
 * Reads are answered from memory (records that memory let go are read back), writes go through the
 * queue and are visible once their batch is durable. Everything that changes state travels in a batch;
 * what is not a key write is applied to the `StateTable` of its kind, in the order of the log.
 *
 * Invariants: `currentRevision` is that of the last applied batch, which is the last durable one.
 * Readers and listeners never see a change before it is durable. A failed assertion while a batch is
 * applied is fatal: `onFatal` is called and nothing is answered any more.
 */
export class Store implements BatchSink {
  readonly index = new KeyIndex();
  readonly values: ValueStore;
  readonly records: Records;
  readonly events: EventLog;
  readonly reader: RangeReader;
  readonly queue: WriteQueue;
  readonly identity = new Identity();
  /** Set by the composition root; called once. */
  onFatal: (error: unknown) => void = () => {};

  readonly #journal: LivenessJournal;
  readonly #window: EventWindow;
  readonly #superseded = new SupersededQueue();
  #keptTombstones: KeyEntry[] = [];
  readonly #txn: TxnEvaluator;
  readonly #tables = new Map<StateKind, StateTable>();
  readonly #listeners: CommitListener[] = [];
  readonly #observer: CommitObserver | undefined;
  #currentRevision = 1;
  #compactRevision = -1;
  #seq = 0;
  #bytesAppended = 0;
  #failure: unknown = undefined;

  constructor(
    readonly backend: Backend,
    readonly leases: LeaseBook,
    readonly clock: Clock,
    options: StoreOptions = DEFAULT_STORE_OPTIONS,
    observer?: CommitObserver,
  ) {
    this.values = new ValueStore({ budgetBytes: options.valueCacheBytes });
    this.records = new Records(this.values, this.index, backend);
    this.#journal = new LivenessJournal(options.livenessJournalEntries);
    this.#window = new EventWindow(0, options.eventWindowBytes);
    this.events = new EventLog(this, this.#window, this.records, backend);
    this.reader = new RangeReader(
      this.index,
      this.records,
      this.#journal,
      this,
    );
    this.#txn = new TxnEvaluator(this.reader);
    this.queue = new WriteQueue(this, options.queue);
    this.#observer = observer;
    this.#tables.set(StateKind.Meta, {
      apply: (key, value) => this.#applyMeta(key, value),
    });
  }

  /** The revision of the newest commit; 1 in an empty store. */
  get currentRevision(): number {
    return this.#currentRevision;
  }

  /** Reads below it fail; -1 before the first compaction. */
  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** The sequence number of the last batch. */
  get seq(): number {
    return this.#seq;
  }

  /** Bytes of rows appended since the start. */
  get bytesAppended(): number {
    return this.#bytesAppended;
  }

  /** Why the last append failed; undefined while commits succeed. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Plugs a component in whose state is a function of the log. Before `load`. */
  addTable(kind: StateKind, table: StateTable): void {
    assert(!this.#tables.has(kind), "one table for each kind of state");
    this.#tables.set(kind, table);
  }

  /** Listeners are called in the order in which they were added. */
  addListener(listener: CommitListener): void {
    this.#listeners.push(listener);
  }

  /** Builds the state in memory from an opened backend. */
  async load(head: Head): Promise<void> {
    this.#seq = head.seq;
    this.#currentRevision = head.revision;
    const leased = new Set<KeyEntry>();
    await this.backend.load({
      state: ({ kind, key, value }) => this.#table(kind).apply(key, value),
      rows: (block) => this.#loadRows(block, leased),
    });
    for (const { lease, key } of leased) {
      if (lease !== 0n) this.leases.attach(lease, key);
    }
    this.#window.reset(this.#currentRevision);
    // Counts before this start are rarely asked for; they walk their range.
    this.#journal.trim(this.#currentRevision);
  }

  /** Answers a Range. Synchronous while the records are in memory. */
  range(
    request: RangeRequest,
  ): Read<RangeResponse> | Promise<Read<RangeResponse>> {
    checkReadRevision(
      request.revision > 0 ? request.revision : this.#currentRevision,
      this,
    );
    const revision = request.revision > 0
      ? request.revision
      : this.#currentRevision;
    try {
      const response = this.reader.read(request, {
        revision,
        seesPending: false,
        fetched: undefined,
      });
      return { response, revision: this.#currentRevision };
    } catch (error) {
      if (!(error instanceof MissingRecords)) throw error;
      return this.#rangeWithFetch(request, revision, error);
    }
  }

  async put(request: PutRequest, bytes: number): Promise<Written<PutResponse>> {
    return await this.#write((tx) => this.#txn.put(request, tx), bytes);
  }

  async deleteRange(
    request: DeleteRangeRequest,
    bytes: number,
  ): Promise<Written<DeleteRangeResponse>> {
    return await this.#write((tx) => this.#txn.deleteRange(request, tx), bytes);
  }

  /** A transaction that may write. */
  async txn(request: TxnRequest, bytes: number): Promise<Written<TxnResponse>> {
    return await this.#write((tx) => this.#txn.txn(request, tx), bytes);
  }

  /** A transaction of ranges alone: answered like a read. */
  readOnlyTxn(
    request: TxnRequest,
  ): Read<TxnResponse> | Promise<Read<TxnResponse>> {
    const revision = this.#currentRevision;
    try {
      const view = { revision, seesPending: false, fetched: undefined };
      return { response: this.#txn.readOnly(request, view), revision };
    } catch (error) {
      if (!(error instanceof MissingRecords)) throw error;
      return this.#readOnlyWithFetch(request, error);
    }
  }

  /** Any other write: evaluated in turn, once, resolved when durable and applied. */
  write<T>(evaluate: (tx: WriteTx) => T): Promise<Written<T>> {
    return this.#write(evaluate, 0);
  }

  /** Marks everything below `revision` as gone. Its rows are removed later, by whoever calls `nextGarbage`. */
  async compact(revision: number): Promise<void> {
    await this.write((tx) => {
      const pending = tx.pendingState(StateKind.Meta, COMPACT_REVISION_KEY);
      const compacted = pending ? Number(text(pending)) : this.#compactRevision;
      if (revision <= compacted) throw new DomainError("compacted");
      if (revision > tx.baseRevision) throw new DomainError("futureRevision");
      tx.putState(StateKind.Meta, COMPACT_REVISION_KEY, utf8(String(revision)));
    });
  }

  /** Rows that compaction has made unreachable, about `max` at a time; empty when there are none left. */
  nextGarbage(max: number): RowId[] {
    const rows: RowId[] = [];
    const compacted = this.#compactRevision;
    while (rows.length < max) {
      const entry = this.#superseded.takeUpTo(compacted);
      if (entry === undefined) break;
      if (entry.rev === 0) continue; // an earlier change of the key has seen to it
      const isGone = entry.compact(
        compacted,
        (rev, sub, address, recordBytes) => {
          rows.push({ rev, sub });
          this.values.release(address, recordBytes);
        },
      );
      if (isGone && entry.pending === undefined) this.index.remove(entry);
      else if (!entry.isLive && entry.rev === compacted) {
        this.#keptTombstones.push(entry);
      }
    }
    return rows;
  }

  newBatch(): WriteBatch {
    // What the batch writes must neither be evicted nor moved before it is known.
    this.values.hold();
    return new WriteBatch(
      this.#currentRevision + 1,
      this.index,
      this.records,
      this.leases,
    );
  }

  async commit(batch: WriteBatch): Promise<void> {
    try {
      if (!batch.isEmpty) await this.#commit(batch);
    } finally {
      this.values.letGo();
    }
  }

  async #commit(batch: WriteBatch): Promise<void> {
    const id = crypto.getRandomValues(new Uint8Array(16));
    const rows = batch.encodeRows();
    const bytes = rows.length;
    const encoded: Batch = {
      seq: this.#seq + 1,
      id: id.slice(),
      firstRev: batch.firstRev,
      lastRev: batch.revision,
      timeMs: this.clock.wallMs(),
      rows,
      state: batch.state.map(({ kind, key, value }) => ({ kind, key, value })),
    };
    const began = this.clock.monotonicMs();
    try {
      await this.#append(encoded, id);
    } catch (error) {
      batch.abort();
      this.#failure = error;
      this.#observer?.failed(error);
      throw new DomainError("unhealthy", { cause: error });
    }
    this.#failure = undefined;
    this.#bytesAppended += bytes;
    this.#observer?.committed(
      this.clock.monotonicMs() - began,
      batch.changes.length,
      bytes,
    );
    try {
      this.#apply(batch);
    } catch (error) {
      this.queue.close(new DomainError("stopped"));
      this.onFatal(error);
      throw error;
    }
  }

  async fetch(missing: MissingRecords, batch: WriteBatch): Promise<void> {
    batch.fetched ??= new FetchedRecords();
    await this.records.fetch(missing.rows, batch.fetched);
  }

  /** Moves live records out of slabs that are mostly garbage. A little at a time. */
  cleanValues(maxBytes: number): number {
    const head = new RecordHead();
    return this.values.clean(maxBytes, (address, bytes, record) => {
      readRecordHead(record, 0, bytes, head);
      const { modRev } = head;
      const entry = this.index.get(record.subarray(head.keyStart, head.keyEnd));
      if (entry?.addressAt(modRev) !== address) return undefined;
      return (moved) => entry.relocate(modRev, moved);
    });
  }

  #write<T>(
    evaluate: (tx: WriteBatch) => T,
    bytes: number,
  ): Promise<Written<T>> {
    return new Promise((resolve, reject) => {
      this.queue.submit({
        evaluate,
        bytes,
        resolve: resolve as (answer: Written<unknown>) => void,
        reject,
      });
    });
  }

  async #append(batch: Batch, id: Uint8Array): Promise<void> {
    let outcome;
    try {
      outcome = await this.backend.append(batch);
    } catch (error) {
      // The answer may be lost and the batch there all the same: its id says so.
      const found = await this.backend.batchIdAt(batch.seq).catch(() =>
        undefined
      );
      if (found === undefined || !equalBytes(found, id)) throw error;
      outcome = "committed";
    }
    assert(
      outcome === "committed",
      "nobody else writes to an exclusive backend",
    );
  }

  #apply(batch: WriteBatch): void {
    const { changes, state } = batch;
    let done = 0;
    for (let i = 0; i < state.length; i++) {
      const { after, kind, key, value } = state[i]!;
      for (; done < after; done++) this.#applyChange(changes[done]!);
      this.#table(kind).apply(key, value);
    }
    for (; done < changes.length; done++) this.#applyChange(changes[done]!);
    this.#window.trim();
    this.#seq++;
    this.#currentRevision = batch.revision;
    if (changes.length === 0) return;
    for (const listener of this.#listeners) {
      listener.committed(changes, batch.revision);
    }
  }

  #applyChange(change: Change): void {
    const entry = change.entry;
    const wasLive = entry.version > 0;
    if (wasLive) {
      change.previousRev = entry.rev;
      change.previousSub = entry.sub;
      change.previousAddress = entry.address;
      change.previousBytes = entry.recordBytes;
      if (entry.lease !== 0n && entry.lease !== change.lease) {
        this.leases.detach(entry.lease, entry.key);
      }
    }
    if (change.lease !== 0n && (!wasLive || entry.lease !== change.lease)) {
      this.leases.attach(change.lease, entry.key);
    }
    entry.pending = undefined;
    change.prior = undefined;
    this.#addVersion(
      entry,
      change.rev,
      change.sub,
      change.createRev,
      change.version,
      change.lease,
      change.address,
      change.recordBytes,
    );
    this.#window.push(change);
  }

  /** Makes a version the newest of its key, in every structure that knows of it. */
  #addVersion(
    entry: KeyEntry,
    rev: number,
    sub: number,
    createRev: number,
    version: number,
    lease: bigint,
    address: number,
    recordBytes: number,
  ): void {
    const wasLive = entry.version > 0;
    const isFirst = entry.rev === 0;
    const isLive = version > 0;
    entry.commit(rev, sub, createRev, version, lease, address, recordBytes);
    if (isLive !== wasLive) {
      this.index.setLive(entry, isLive);
      this.#journal.add(rev, entry, isLive ? 1 : -1);
    }
    if (!isFirst || !isLive) this.#superseded.push(rev, entry);
  }

  #loadRows(block: Uint8Array, leased: Set<KeyEntry>): void {
    // The block becomes a slab as it is, unless it is too large for one.
    const base = this.values.adopt(block, recordBytesOf(block));
    const rows = new RowReader(block);
    const head = new RecordHead();
    while (rows.next()) {
      const { recordStart: start, recordEnd: end } = rows;
      readRecordHead(block, start, end, head);
      const key = block.subarray(head.keyStart, head.keyEnd);
      const entry = this.index.getOrCreate(key);
      this.#addVersion(
        entry,
        head.modRev,
        rows.sub,
        head.createRev,
        head.version,
        head.lease,
        base === undefined
          ? this.values.append(block.subarray(start, end))
          : base + start,
        end - start,
      );
      if (head.lease !== 0n) leased.add(entry);
    }
  }

  #table(kind: StateKind): StateTable {
    const table = this.#tables.get(kind);
    assert(table !== undefined, "every kind of state has a table");
    return table;
  }

  #applyMeta(key: Uint8Array, value: Uint8Array | undefined): void {
    this.identity.apply(key, value);
    if (!equalBytes(key, COMPACT_REVISION_KEY) || value === undefined) return;
    this.#compactRevision = Number(text(value));
    assert(
      Number.isSafeInteger(this.#compactRevision),
      "the compact revision is an integer",
    );
    for (const entry of this.#keptTombstones.splice(0)) {
      this.#superseded.pushFront(entry);
    }
    this.#journal.trim(this.#compactRevision);
    for (const listener of this.#listeners) {
      listener.compacted(this.#compactRevision);
    }
  }

  async #rangeWithFetch(
    request: RangeRequest,
    revision: number,
    missing: MissingRecords,
  ): Promise<Read<RangeResponse>> {
    const fetched = new FetchedRecords();
    const current = this.#currentRevision;
    for (let rows = missing.rows;;) {
      await this.records.fetch(rows, fetched);
      checkReadRevision(revision, this);
      const view: ReadView = { revision, seesPending: false, fetched };
      try {
        const response = this.reader.read(request, view);
        return {
          response,
          revision: request.revision > 0 ? this.#currentRevision : current,
        };
      } catch (error) {
        if (!(error instanceof MissingRecords)) throw error;
        rows = error.rows;
      }
    }
  }

  async #readOnlyWithFetch(
    request: TxnRequest,
    missing: MissingRecords,
  ): Promise<Read<TxnResponse>> {
    const fetched = new FetchedRecords();
    for (let rows = missing.rows;;) {
      await this.records.fetch(rows, fetched);
      const revision = this.#currentRevision;
      try {
        const view = { revision, seesPending: false, fetched };
        return { response: this.#txn.readOnly(request, view), revision };
      } catch (error) {
        if (!(error instanceof MissingRecords)) throw error;
        rows = error.rows;
      }
    }
  }
}

function recordBytesOf(block: Uint8Array): number {
  const rows = new RowReader(block);
  let bytes = 0;
  while (rows.next()) bytes += rows.recordEnd - rows.recordStart;
  return bytes;
}
