import type { ReplicaTable } from "./replica_table.ts";
import type { StateChange, StateKind } from "./state_change.ts";

/**
 * The unit of the log: what one append makes durable, whole or not at all.
 *
 * `rows` is a row block (see `row_block.ts`): one entry per change of a key, in (revision, sub-revision)
 * order. `state` are the changes that are not key writes: leases, auth, alarms, compaction marks.
 */
export interface Batch {
  /** Consecutive from 1, chosen by the writer, enforced by the primary key. */
  readonly seq: number;
  /** 16 random bytes that identify this attempt: they settle what became of an append whose answer was lost. */
  readonly id: Uint8Array;
  /** First and last revision in `rows`; when there are no rows, `lastRev` is the current revision and `firstRev` is `lastRev + 1`. */
  readonly firstRev: number;
  readonly lastRev: number;
  /** Wall clock of the writer, milliseconds since the epoch. */
  readonly timeMs: number;
  readonly rows: Uint8Array;
  readonly state: readonly StateChange[];
}

/** The end of the log. */
export interface Head {
  /** 0 for an empty log. */
  readonly seq: number;
  /** etcd starts at 1; the first write makes 2. */
  readonly revision: number;
  /** The id of the last batch, from databases that others write to: tells a log that was replaced by another one. */
  readonly id?: Uint8Array;
}

/** `conflict`: somebody else's batch is at that seq already; apply it and evaluate again. */
export type AppendOutcome = "committed" | "conflict";

/** Names a row. */
export interface RowId {
  readonly rev: number;
  readonly sub: number;
}

/** What `load` streams, in this order: all state first, then rows in (rev, sub) order. */
export interface LoadSink {
  state(change: StateChange): void;
  /** A block of rows; the buffer is the sink's to keep. */
  rows(block: Uint8Array): void;
}

export interface SizeInfo {
  /** Bytes that the database takes on disk. */
  readonly totalBytes: number;
  /** Of these, bytes that hold data (total less free pages). */
  readonly inUseBytes: number;
  /** The disk had no room for a write, and has not had enough since. Default: false. */
  readonly isDiskFull?: boolean;
}

/** A consistent copy of the whole store, being streamed. */
export interface Snapshot {
  readonly sizeBytes: number;
  /** Up to `maxBytes` from `offset`; empty at the end. */
  read(offset: number, maxBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * The port that every database driver implements. It knows nothing of etcd: it appends a batch if the
 * log still ends where the writer thinks it does, and reads what was appended.
 *
 * Calls may be made while others are under way; `append` is called by one writer at a time.
 * A failed call rejects with `BackendError` and leaves the store as it was, or (append) in a state
 * that `batchAt` settles.
 */
export interface Backend {
  /** For logs and `--help`: `sqlite`, `memory`, … */
  readonly name: string;
  /** True if no other process can write to this database: memory is then the truth and reads need no `head`. */
  readonly isExclusive: boolean;
  /** The servers that share this database; undefined if it is exclusive. */
  readonly replicas?: ReplicaTable;
  /** Creates or migrates the schema, recovers, locks. Refuses a schema from the future. */
  open(): Promise<Head>;
  /** Streams everything that is retained, as of one moment; resolves with the end of the log then. Once, after `open`. */
  load(sink: LoadSink): Promise<Head>;
  /** Durable when it resolves with `committed`. The arrays in `batch` are given away (may be detached). */
  append(batch: Batch): Promise<AppendOutcome>;
  head(): Promise<Head>;
  /** The id at `seq`, or undefined: tells whether an append whose answer was lost happened. */
  batchIdAt(seq: number): Promise<Uint8Array | undefined>;
  /** Batches with a larger seq, in order. */
  batchesAfter(seq: number, limit: number): Promise<Batch[]>;
  /** The KeyValue records of rows, in the order asked for; undefined where a row is gone. */
  valuesOf(rows: readonly RowId[]): Promise<(Uint8Array | undefined)[]>;
  /** A row block of all rows with revision > `rev`: whole revisions, at least one if there is any, about `maxBytes` at most beyond that. */
  eventsAfter(rev: number, maxBytes: number): Promise<Uint8Array>;
  /** Removes rows (compaction); small slices, each its own transaction. Removing what is gone is fine. */
  remove(rows: readonly RowId[]): Promise<void>;
  /** Forgets batches with a seq below this one; their rows stay. */
  trimBatches(belowSeq: number): Promise<void>;
  /** Tells of batches that others committed, by the last seq; an exclusive backend never calls it. Returns a function that stops it. */
  watchCommits(onCommit: (seq: number) => void): () => void;
  /** All state of a kind of which there is little, as it is now. Only where others write, too. */
  stateOf?(kind: StateKind): Promise<StateChange[]>;
  snapshot(): Promise<Snapshot>;
  size(): Promise<SizeInfo>;
  /** Gives free space back to the filesystem, online, in small steps. */
  defragment(): Promise<void>;
  close(): Promise<void>;
}

/**
 * What a caller can act on:
 * `noSpace` (disk or quota full; deletes may still work), `corrupt` (what was read cannot be right),
 * `locked` (another process has the store), `schema` (written by another version of Stele),
 * `closed` (the backend was closed or its worker died; it takes no more calls), `failed` (all else).
 */
export type BackendErrorKind =
  | "noSpace"
  | "corrupt"
  | "locked"
  | "schema"
  | "closed"
  | "failed";

/** What happened in the database, said once, with its cause. */
export class BackendError extends Error {
  override name = "BackendError";
  readonly kind: BackendErrorKind;
  /** What an operator can do about it, in one sentence; empty if that is not known. Default: empty. */
  readonly cure: string;

  constructor(
    message: string,
    options: ErrorOptions & { kind?: BackendErrorKind; cure?: string } = {},
  ) {
    super(message, options);
    this.kind = options.kind ?? "failed";
    this.cure = options.cure ?? "";
  }
}
