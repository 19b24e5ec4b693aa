import {
  type AppendOutcome,
  type Backend,
  BackendError,
  type Batch,
  type RowId,
} from "../backend/backend.ts";
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
import { CheckedReads } from "./checked_reads.ts";
import type { CommitListener } from "./event.ts";
import { EventLog } from "./event_log.ts";
import { EventWindow } from "./event_window.ts";
import {
  COMPACT_REVISION_KEY,
  REAPED_REVISION_KEY,
} from "./compact_revision.ts";
import { foreignChanges } from "./foreign_batch.ts";
import { Identity } from "./identity.ts";
import { type KeyEntry, VersionRef } from "./key_entry.ts";
import { KeyIndex } from "./key_index.ts";
import type { LeaseBook } from "./lease_book.ts";
import { LoadChecks } from "./load_checks.ts";
import { LivenessJournal } from "./liveness_journal.ts";
import {
  compactRevisionOf,
  type FollowingStore,
  LogFollower,
} from "./log_follower.ts";
import {
  checkReadRevision,
  type RangeOptions,
  RangeReader,
  type ReadView,
} from "./range_reader.ts";
import { FetchedRecords, MissingRecords, Records } from "./records.ts";
import { SupersededQueue } from "./superseded_queue.ts";
import { SequencerEntry } from "./sequencer_entry.ts";
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
  /** How messages call the database. */
  readonly databaseName: string;
  /** Memory for records; beyond it they are read back from the backend. */
  readonly valueCacheBytes: number;
  /** Memory for the recent past, for watchers that are a little behind. */
  readonly eventWindowBytes: number;
  /** Entries of the journal that counts keys at past revisions. */
  readonly livenessJournalEntries: number;
  readonly queue: WriteQueueLimits;
  /** How long a read waits for what other replicas have appended; etcd: 7 s. */
  readonly followTimeoutMs: number;
  /** Whether serializable reads are answered while the log cannot be read. */
  readonly servesStaleReads: boolean;
}

export const DEFAULT_STORE_OPTIONS: StoreOptions = {
  databaseName: "the database",
  valueCacheBytes: 1 << 30,
  eventWindowBytes: 32 << 20,
  livenessJournalEntries: 1 << 20,
  queue: DEFAULT_WRITE_QUEUE_LIMITS,
  followTimeoutMs: 7000,
  servesStaleReads: true,
};

/** A read's answer and the revision that it shows the store at. */
export interface Read<T> {
  readonly response: T;
  readonly revision: number;
}

/** Told of each batch of ours that is durable; for other replicas. */
export interface BatchFeed {
  readonly isWanted: boolean;
  appended(batch: Batch): void;
}

/** Told how long each batch took to become durable, and of what the database failed to do; for metrics and the log. */
export interface CommitObserver {
  committed(durationMs: number, rows: number, bytes: number): void;
  /** A batch could not be made durable, or something showed that the database is damaged. */
  failed(error: unknown): void;
  /** What memory let go could not be read back. */
  readFailed(error: BackendError): void;
}

/**
 * The replicated state machine: all keys with their history, a function of the log of batches.
 *
 * Reads are answered from memory (records that memory let go are read back), writes go through the
 * queue and are visible once their batch is durable. Everything that changes state travels in a batch;
 * what is not a key write is applied to the `StateTable` of its kind, in the order of the log.
 * Where other replicas append as well, a `LogFollower` brings what they did, between two batches of ours.
 *
 * Invariants: `currentRevision` is that of the last applied batch, which is the last durable one.
 * Readers and listeners never see a change before it is durable. A failed assertion while a batch is
 * applied is fatal: `onFatal` is called and nothing is answered any more.
 */
export class Store implements BatchSink, FollowingStore {
  readonly index = new KeyIndex();
  readonly values: ValueStore;
  readonly records: Records;
  readonly events: EventLog;
  readonly reader: RangeReader;
  readonly queue: WriteQueue;
  readonly identity = new Identity();
  /** Which replica is in charge of leases and compaction. */
  readonly sequencer = new SequencerEntry();
  /** Undefined if nobody else writes to the database. */
  readonly follower: LogFollower | undefined;
  /** Set where other replicas append as well: see `BatchSink.gap`. */
  gap: (() => Promise<void> | undefined) | undefined = undefined;
  /** Set where other replicas want to know what this one appends. */
  feed: BatchFeed | undefined = undefined;
  /** Set by the composition root; called once. */
  onFatal: (error: unknown) => void = () => {};

  readonly #databaseName: string;
  readonly #reads: CheckedReads;
  readonly #journal: LivenessJournal;
  readonly #window: EventWindow;
  readonly #superseded = new SupersededQueue();
  #keptTombstones: KeyEntry[] = [];
  readonly #txn: TxnEvaluator;
  readonly #tables = new Map<StateKind, StateTable>();
  readonly #listeners: CommitListener[] = [];
  readonly #observer: CommitObserver | undefined;
  readonly #servesStaleReads: boolean;
  #currentRevision = 1;
  #compactRevision = -1;
  #reapedRevision = -1;
  #seq = 0;
  /** Of the last batch that is durable: it may be about to be applied. */
  #durableSeq = 0;
  #durableId: Uint8Array | undefined = undefined;
  #bytesAppended = 0;
  #failure: unknown = undefined;
  /** What showed that the database is damaged; for good. */
  #corruption: BackendError | undefined = undefined;

  constructor(
    readonly backend: Backend,
    readonly leases: LeaseBook,
    readonly clock: Clock,
    options: StoreOptions = DEFAULT_STORE_OPTIONS,
    observer?: CommitObserver,
  ) {
    this.#databaseName = options.databaseName;
    this.values = new ValueStore({ budgetBytes: options.valueCacheBytes });
    this.follower = backend.isExclusive
      ? undefined
      : new LogFollower(backend, this, clock, {
        timeoutMs: options.followTimeoutMs,
      });
    const reads = this.#reads = new CheckedReads(backend, {
      onCorrupt: (error) => this.corrupt(error),
      onFailure: (error) => observer?.readFailed(error),
      compactRevision: backend.isExclusive
        ? undefined
        : () => compactRevisionOf(backend),
    });
    this.records = new Records(this.values, this.index, reads);
    this.#journal = new LivenessJournal(options.livenessJournalEntries);
    this.#window = new EventWindow(0, options.eventWindowBytes);
    this.events = new EventLog(this, this.#window, this.records, reads);
    this.reader = new RangeReader(
      this.index,
      this.records,
      this.#journal,
      this,
    );
    this.#txn = new TxnEvaluator(this.reader);
    this.queue = new WriteQueue(this, options.queue);
    this.#servesStaleReads = options.servesStaleReads;
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

  /** Up to here another server, or this one, has removed from the database what compaction made unreachable. */
  get reapedRevision(): number {
    return this.#reapedRevision;
  }

  /** The sequence number of the last batch. */
  get seq(): number {
    return this.#seq;
  }

  get durableSeq(): number {
    return this.#durableSeq;
  }

  get durableId(): Uint8Array | undefined {
    return this.#durableId;
  }

  /** Whether others have appended what is not applied here. */
  get isBehind(): boolean {
    return this.follower?.isBehind ?? false;
  }

  /** Bytes of rows appended since the start. */
  get bytesAppended(): number {
    return this.#bytesAppended;
  }

  /** Why the last append or a read failed, or what showed that the database is damaged; undefined while all is well. */
  get failure(): unknown {
    return this.#corruption ?? this.#failure ?? this.#reads.failure ??
      this.follower?.failure;
  }

  /** Whether the database is damaged: nothing but what is in memory is answered, and only to who asks for no more. */
  get isCorrupt(): boolean {
    return this.#corruption !== undefined;
  }

  /** Tries again what failed, and makes an empty batch durable: if that works, `failure` is gone. */
  async probe(): Promise<void> {
    await this.#reads.probe();
    await this.write((tx) => tx.touch(), { isOwn: true });
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
  async load(): Promise<void> {
    const leased = new Set<KeyEntry>();
    const checks = new LoadChecks(this.#databaseName, this.backend);
    const head = await this.backend.load({
      state: (change) => checks.apply(change, this.#table(change.kind)),
      rows: (block) => this.#loadRows(block, leased, checks),
    });
    checks.end(head.revision, this.#compactRevision);
    this.#seq = head.seq;
    this.#durableSeq = head.seq;
    this.#durableId = head.id;
    this.#currentRevision = head.revision;
    for (const { lease, key } of leased) {
      if (lease !== 0n) checks.attach(lease, key, this.leases);
    }
    this.#window.reset(this.#currentRevision);
    // Counts before this start are rarely asked for; they walk their range.
    this.#journal.trim(this.#currentRevision);
  }

  /** Has what others append applied from now on; resolves when that is so for all that is there already. */
  async follow(): Promise<void> {
    if (this.follower === undefined) return;
    this.follower.start();
    await this.follower.barrier();
  }

  /**
   * What a linearizable read waits for: everything that was committed before is applied then. Undefined: it is
   * already, since nobody else writes to the database.
   */
  barrier(): Promise<void> | undefined {
    return this.follower?.barrier();
  }

  /** Answers a Range. Synchronous while the records are in memory. */
  range(
    request: RangeRequest,
    options?: RangeOptions,
  ): Read<RangeResponse> | Promise<Read<RangeResponse>> {
    this.#checkReadable(request.serializable);
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
      }, options);
      return { response, revision: this.#currentRevision };
    } catch (error) {
      if (!(error instanceof MissingRecords)) throw error;
      return this.#rangeWithFetch(request, revision, error, options);
    }
  }

  /** `guard` is called before the evaluation, and stops it by throwing. */
  async put(
    request: PutRequest,
    bytes: number,
    guard: (tx: WriteTx) => void,
  ): Promise<Written<PutResponse>> {
    return await this.#write((tx) => {
      guard(tx);
      return this.#txn.put(request, tx);
    }, bytes);
  }

  async deleteRange(
    request: DeleteRangeRequest,
    bytes: number,
    guard: (tx: WriteTx) => void,
  ): Promise<Written<DeleteRangeResponse>> {
    return await this.#write((tx) => {
      guard(tx);
      return this.#txn.deleteRange(request, tx);
    }, bytes);
  }

  /** A transaction that may write. */
  async txn(
    request: TxnRequest,
    bytes: number,
    guard: (tx: WriteTx) => void,
  ): Promise<Written<TxnResponse>> {
    return await this.#write((tx) => {
      guard(tx);
      return this.#txn.txn(request, tx);
    }, bytes);
  }

  /** A transaction of ranges alone: answered like a read. */
  readOnlyTxn(
    request: TxnRequest,
    isSerializable = false,
  ): Read<TxnResponse> | Promise<Read<TxnResponse>> {
    this.#checkReadable(isSerializable);
    const revision = this.#currentRevision;
    try {
      const view = { revision, seesPending: false, fetched: undefined };
      return { response: this.#txn.readOnly(request, view), revision };
    } catch (error) {
      if (!(error instanceof MissingRecords)) throw error;
      return this.#readOnlyWithFetch(request, error);
    }
  }

  /**
   * Any other write: evaluated in turn, once, resolved when durable and applied. `isOwn`: one that no client
   * asked for, and that a full queue may not refuse; few at a time.
   */
  write<T>(
    evaluate: (tx: WriteTx) => T,
    { isOwn } = { isOwn: false },
  ): Promise<Written<T>> {
    return this.#write(evaluate, 0, isOwn);
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

  /**
   * Rows that compaction has made unreachable, about `max` at a time; empty when there are none left. `upTo`: only
   * those that a compaction at that revision would have.
   */
  nextGarbage(max: number, upTo: number = this.#compactRevision): RowId[] {
    const rows: RowId[] = [];
    const compacted = Math.min(upTo, this.#compactRevision);
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

  newBatch(below: WriteBatch | undefined): WriteBatch {
    // What the batch writes must neither be evicted nor moved before it is known.
    this.values.hold();
    return new WriteBatch(
      (below?.revision ?? this.#currentRevision) + 1,
      this.index,
      this.records,
      this.leases,
      below,
    );
  }

  async append(batch: WriteBatch): Promise<AppendOutcome> {
    if (batch.isEmpty) return await this.#confirm();
    const id = crypto.getRandomValues(new Uint8Array(16));
    const rows = batch.encodeRows();
    const bytes = rows.length;
    const encoded: Batch = {
      seq: this.#durableSeq + 1,
      id: id.slice(),
      firstRev: batch.firstRev,
      lastRev: batch.revision,
      timeMs: this.clock.wallMs(),
      rows,
      state: batch.state.map(({ kind, key, value }) => ({ kind, key, value })),
    };
    // The driver keeps the rows.
    const told = this.feed?.isWanted
      ? { ...encoded, rows: rows.slice() }
      : undefined;
    const began = this.clock.monotonicMs();
    if (this.#corruption !== undefined) throw new DomainError("corrupt");
    let outcome;
    try {
      outcome = await this.#append(encoded, id);
    } catch (error) {
      const kind = kindOf(error);
      if (kind === "corrupt") this.corrupt(error as BackendError);
      else {
        this.#failure = error;
        this.#observer?.failed(error);
      }
      throw new DomainError(kind, { cause: error });
    }
    this.#failure = undefined;
    if (outcome === "conflict") {
      assert(
        this.follower !== undefined,
        "nobody else writes to an exclusive backend",
      );
      this.follower.lost(encoded.seq);
      return outcome;
    }
    this.#durableSeq++;
    this.#durableId = id;
    if (told !== undefined) this.feed?.appended(told);
    this.#bytesAppended += bytes;
    this.#observer?.committed(
      this.clock.monotonicMs() - began,
      batch.changes.length,
      bytes,
    );
    return outcome;
  }

  scheduleCatchUp(): void {
    this.queue.follow();
  }

  async catchUp(): Promise<void> {
    await this.follower?.catchUp();
  }

  applyForeign(batch: Batch, isWhole: boolean): void {
    try {
      this.values.hold();
      this.#durableSeq = batch.seq;
      this.#durableId = batch.id;
      this.#applyForeign(batch, isWhole);
    } catch (error) {
      this.fatal(error);
      throw error;
    } finally {
      this.values.letGo();
    }
  }

  apply(batch: WriteBatch): void {
    try {
      if (!batch.isEmpty) this.#apply(batch);
    } catch (error) {
      this.fatal(error);
      throw error;
    } finally {
      this.values.letGo();
    }
  }

  abort(batch: WriteBatch): void {
    batch.abort();
    this.values.letGo();
  }

  async fetch(missing: MissingRecords, batch: WriteBatch): Promise<void> {
    batch.fetched ??= new FetchedRecords();
    try {
      await this.records.fetch(missing.rows, batch.fetched);
    } catch (error) {
      // Others may have replaced and compacted it: then it is evaluated again behind that.
      if (!isCompacted(error) || await this.follower?.isAtEnd() !== false) {
        throw error;
      }
    }
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
    isOwn = false,
  ): Promise<Written<T>> {
    return new Promise((resolve, reject) => {
      this.queue.submit({
        evaluate,
        bytes,
        isOwn,
        resolve: resolve as (answer: Written<unknown>) => void,
        reject,
      });
    });
  }

  /** What a batch that changes nothing saw holds only if nobody else has appended meanwhile. */
  async #confirm(): Promise<AppendOutcome> {
    if (this.follower === undefined) return "committed";
    try {
      return await this.follower.isAtEnd() ? "committed" : "conflict";
    } catch (error) {
      throw new DomainError(kindOf(error), { cause: error });
    }
  }

  async #append(batch: Batch, id: Uint8Array): Promise<AppendOutcome> {
    try {
      return await this.backend.append(batch);
    } catch (error) {
      // The answer may be lost and the batch there all the same: its id says so.
      const found = await this.backend.batchIdAt(batch.seq).catch(() =>
        undefined
      );
      if (found === undefined) throw error;
      return equalBytes(found, id) ? "committed" : "conflict";
    }
  }

  /** Damage was found: fails closed, and for good, since nobody knows what else is wrong. */
  corrupt(error: BackendError): void {
    if (this.#corruption !== undefined) return;
    this.#corruption = error;
    this.#observer?.failed(error);
  }

  /** Nobody knows what memory is worth now, or it cannot be made to follow: nothing more is answered. */
  fatal(error: unknown): void {
    this.queue.close(new DomainError("stopped"));
    this.onFatal(error);
  }

  #checkReadable(isSerializable: boolean): void {
    if (this.#corruption !== undefined && !isSerializable) {
      throw new DomainError("corrupt");
    }
    const isStale = isSerializable && this.follower?.failure !== undefined;
    if (isStale && !this.#servesStaleReads) throw new DomainError("unhealthy");
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
    this.#endApply(changes, batch.revision);
  }

  /**
   * State first, then keys: how the two were interleaved is not in the log, and makes no difference at its end,
   * where each key is attached to the lease of its last change.
   */
  #applyForeign(batch: Batch, isWhole: boolean): void {
    const { state, rows } = batch;
    for (const { kind, key, value } of state) {
      this.#table(kind).apply(key, value);
    }
    const changes = foreignChanges(rows, this.index, this.values);
    const before = new Map<KeyEntry, bigint>();
    for (const change of changes) {
      const { entry } = change;
      if (!before.has(entry)) before.set(entry, entry.lease);
      this.#applyVersion(change);
    }
    for (const [entry, lease] of before) {
      if (lease !== 0n && lease !== entry.lease) {
        this.leases.detach(lease, entry.key);
      }
      if (entry.lease !== 0n) this.leases.attach(entry.lease, entry.key);
    }
    if (isWhole) return this.#endApply(changes, batch.lastRev);
    // Watchers have to learn that they missed something: they find it compacted.
    this.#window.reset(batch.lastRev);
    this.#endApply([], batch.lastRev);
  }

  #endApply(changes: readonly Change[], revision: number): void {
    this.#window.trim();
    this.#seq++;
    this.#currentRevision = revision;
    if (changes.length > 0) {
      for (const listener of this.#listeners) {
        listener.committed(changes, revision);
      }
    }
    this.follower?.applied();
  }

  #applyChange(change: Change): void {
    const entry = change.entry;
    const wasLive = entry.version > 0;
    if (wasLive && entry.lease !== 0n && entry.lease !== change.lease) {
      this.leases.detach(entry.lease, entry.key);
    }
    if (change.lease !== 0n && (!wasLive || entry.lease !== change.lease)) {
      this.leases.attach(change.lease, entry.key);
    }
    this.#applyVersion(change);
  }

  #applyVersion(change: Change): void {
    const entry = change.entry;
    if (entry.rev === change.rev) this.#setPreviousBefore(change);
    else if (entry.version > 0) {
      change.previousRev = entry.rev;
      change.previousSub = entry.sub;
      change.previousAddress = entry.address;
      change.previousBytes = entry.recordBytes;
    }
    if (entry.pending === change) entry.pending = undefined;
    change.prior = undefined;
    change.isApplied = true;
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

  /**
   * The transaction has changed the key before: what that left was never to be seen, and a deletion takes away what
   * was there before the transaction; a put made the key anew.
   */
  #setPreviousBefore(change: Change): void {
    const ref = new VersionRef();
    if (!change.deleted || !change.entry.versionAt(change.rev - 1, ref)) return;
    change.previousRev = ref.rev;
    change.previousSub = ref.sub;
    change.previousAddress = ref.address;
    change.previousBytes = ref.recordBytes;
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

  #loadRows(
    block: Uint8Array,
    leased: Set<KeyEntry>,
    checks: LoadChecks,
  ): void {
    // The block becomes a slab as it is, unless it is too large for one.
    const base = this.values.adopt(block, recordBytesOf(block));
    const rows = new RowReader(block);
    const head = new RecordHead();
    while (rows.next()) {
      const { recordStart: start, recordEnd: end } = rows;
      readRecordHead(block, start, end, head);
      checks.row(head, rows.sub, this.#compactRevision);
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
    this.sequencer.apply(key, value);
    if (equalBytes(key, REAPED_REVISION_KEY) && value !== undefined) {
      this.#reapedRevision = Number(text(value));
      for (const listener of this.#listeners) {
        listener.compacted(this.#compactRevision);
      }
    }
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
    options: RangeOptions | undefined,
  ): Promise<Read<RangeResponse>> {
    const fetched = new FetchedRecords();
    const current = this.#currentRevision;
    for (let rows = missing.rows;;) {
      try {
        await this.records.fetch(rows, fetched);
      } catch (error) {
        if (!await this.#hasMovedOn(error, current)) throw error;
        // Others replaced and compacted what was to be read: the newest state is another one now.
        if (request.revision > 0) throw error;
        return await this.range(request, options);
      }
      checkReadRevision(revision, this);
      const view: ReadView = { revision, seesPending: false, fetched };
      try {
        const response = this.reader.read(request, view, options);
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

  /** Whether a record is gone because of what others did, which is applied now. */
  async #hasMovedOn(error: unknown, revision: number): Promise<boolean> {
    if (!isCompacted(error) || this.follower === undefined) return false;
    await this.follower.barrier();
    return this.#currentRevision > revision;
  }

  async #readOnlyWithFetch(
    request: TxnRequest,
    missing: MissingRecords,
  ): Promise<Read<TxnResponse>> {
    const fetched = new FetchedRecords();
    const current = this.#currentRevision;
    for (let rows = missing.rows;;) {
      try {
        await this.records.fetch(rows, fetched);
      } catch (error) {
        if (!await this.#hasMovedOn(error, current)) throw error;
        return await this.readOnlyTxn(request);
      }
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

function isCompacted(error: unknown): boolean {
  return error instanceof DomainError && error.kind === "compacted";
}

/** What a client is told of an append that failed. */
function kindOf(error: unknown): "noSpace" | "corrupt" | "unhealthy" {
  const kind = error instanceof BackendError ? error.kind : "failed";
  return kind === "noSpace" || kind === "corrupt" ? kind : "unhealthy";
}

function recordBytesOf(block: Uint8Array): number {
  const rows = new RowReader(block);
  let bytes = 0;
  while (rows.next()) bytes += rows.recordEnd - rows.recordStart;
  return bytes;
}
