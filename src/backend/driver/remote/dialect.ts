import type { ReplicaDialect } from "./replica_dialect.ts";
import type { Head, RowId } from "../../backend.ts";
import type { StateChange, StateKind } from "../../state_change.ts";

/**
 * What a database server's engine does for `RemoteDatabase`: every method is one attempt of one statement or one
 * transaction, and rejects with the engine's own error, which `faultOf` then names. Nobody here retries.
 *
 * The tables, with a prefix that defaults to `stele_`:
 *
 *   batch   (seq) → id, first_rev, last_rev, time_ms, ops, total_bytes; seq 0 is there from the beginning
 *   kv      (rev, sub) → key, value, create_rev, version, lease, deleted
 *   state   (kind, id) → key, value; kind 0 is the driver's own, `id` is `stateId(key)`
 *   removed (id = 1) → bytes: of all rows that were ever removed, as `total_bytes` counts them
 */
export interface Dialect extends LogReader {
  /** For logs: `postgres`, `yugabytedb`, `mysql`, `mariadb`; known after `open`. */
  readonly engine: string;
  readonly replicas: ReplicaDialect;
  /** Connects, creates the database and its tables if they may be, and checks what must hold. */
  open(): Promise<readonly Warning[]>;
  /**
   * Adds the batch in one transaction. False if there is no batch before it, or another one than `previousId`, and
   * then nothing is done; if there is one with its seq, that is a `duplicate`.
   */
  insertBatch(batch: NewBatch): Promise<boolean>;
  batchIdAt(seq: number): Promise<Uint8Array | undefined>;
  /** Without their rows. */
  batchesAfter(seq: number, limit: number): Promise<StoredBatch[]>;
  /** In any order; those that are gone are left out. */
  rowsOf(ids: readonly RowId[]): Promise<StoredRow[]>;
  /** One transaction; counts what it removes. */
  removeRows(ids: readonly RowId[]): Promise<void>;
  firstSeq(): Promise<number>;
  /** Never the last one. */
  removeBatchesBelow(seq: number): Promise<void>;
  size(): Promise<{ totalBytes: number; inUseBytes: number }>;
  /** May take long; does not block writers. */
  defragment(): Promise<void>;
  /** Reads everything as of one moment. */
  readConsistently<T>(read: (reader: LogReader) => Promise<T>): Promise<T>;
  /**
   * Calls `heard` with the seq of batches that anybody commits, as a hint: it may miss some, or never come; and `lost`
   * when no more will come, so that it can be called again. False: this engine, or this server, has no such thing.
   */
  listen(heard: (seq: number) => void, lost: () => void): Promise<boolean>;
  faultOf(error: unknown): Fault;
  /** Gives up every connection, because one does not answer; the next call makes new ones. */
  reset(): void;
  close(): Promise<void>;
}

/** What can be read in a transaction too. */
export interface LogReader {
  head(): Promise<Head>;
  /** In order, behind the cursor, up to the revision, up to the limits; one at least if there is any. */
  rows(page: RowPage): Promise<StoredRow[]>;
  /** In order of `id`, behind the one given. */
  state(kind: StateKind, page: StatePage): Promise<StoredState[]>;
}

/**
 * `transient`: try again, with a new connection if need be; what became of the attempt is not known.
 * `duplicate`: a primary key is taken.
 * `noSpace`: disk or quota full.
 * `fatal`: trying again will not help.
 */
export type Fault = "transient" | "duplicate" | "noSpace" | "fatal";

/** Something about the database's configuration that an operator should know. */
export interface Warning {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface NewBatch {
  /** Of the batch that it was made on; undefined if that is not known. */
  readonly previousId?: Uint8Array | undefined;
  readonly seq: number;
  readonly id: Uint8Array;
  readonly firstRev: number;
  readonly lastRev: number;
  readonly timeMs: number;
  /** A row block. */
  readonly rows: Uint8Array;
  readonly ops: Uint8Array;
  /** What `ops` holds, at most one change of each key. */
  readonly state: readonly StateChange[];
}

export type StoredBatch = Omit<NewBatch, "previousId" | "rows" | "state">;

export interface StoredRow {
  readonly rev: number;
  readonly sub: number;
  /** Key and value, one behind the other. */
  readonly bytes: Uint8Array;
  readonly keyBytes: number;
  readonly createRev: number;
  readonly version: number;
  /** 64 bits, signed, in decimal. */
  readonly lease: string;
  readonly deleted: boolean;
}

export interface RowPage {
  readonly afterRev: number;
  readonly afterSub: number;
  readonly throughRev: number;
  readonly maxRows: number;
  /** Of keys and values; one row may be bigger. */
  readonly maxBytes: number;
}

export interface StatePage {
  /** Undefined: from the beginning. */
  readonly afterId: Uint8Array | undefined;
  readonly maxEntries: number;
}

export interface StoredState {
  readonly id: Uint8Array;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** What a row's numbers are taken to need, in `total_bytes` and `removed.bytes`. */
export const ROW_OVERHEAD_BYTES = 40;
