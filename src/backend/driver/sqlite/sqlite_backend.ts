import { assert } from "../../../base/assert.ts";
import type { Clock } from "../../../base/clock.ts";
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
} from "../../backend.ts";
import { decodeState, encodeState } from "../../state_codec.ts";
import {
  errorOf,
  ownBytes,
  packRowIds,
  recordsIn,
  type ValuesAnswer,
} from "../thread_messages.ts";
import { Mailbox, SlotOutcome } from "./mailbox.ts";
import {
  type Answer,
  type BatchAnswer,
  type DatabaseOptions,
  type Request,
  type SnapshotAnswer,
  type Start,
  START_REQUEST,
} from "./protocol.ts";
import { toBackendError } from "./sqlite_error.ts";
import { workerOptions } from "./worker_options.ts";

export interface SqliteOptions {
  /** The data directory; made if it is missing. The database is `stele.db` in it. */
  readonly dir: string;
  /**
   * `full` (default): a batch is on the disk when `append` resolves. `off`: nothing is synced; a batch
   * survives the end of the process, not that of the machine.
   */
  readonly synchronous?: "full" | "off";
  /** Upper bound of the database in pages of 4 KiB. Default: none. */
  readonly maxPageCount?: number;
  /** An append that takes longer is logged. Default 1000, as etcd warns of slow syncs. */
  readonly slowAppendMs?: number;
  /** The worker's module; for a test that wants to look around inside. */
  readonly workerUrl?: URL;
}

/** What the driver tells an operator. */
export interface BackendLog {
  warn(message: string, fields: Record<string, unknown>): void;
}

/**
 * Embedded SQLite: this half lives in the main thread and passes everything to a worker.
 *
 * Holds an exclusive lock on the data directory while open, so its process is the only writer.
 * What `valuesOf` and `batchesAfter` return are views that share a buffer: copy what is to be kept.
 *
 *   new --open()--> opening --head--> open --close()--> closed
 *                      \--refused--> new    \--the worker died--> failed (every call rejects)
 */
export class SqliteBackend implements Backend {
  readonly name = "sqlite";
  readonly isExclusive = true;
  readonly #dir: string;
  readonly #options: DatabaseOptions;
  readonly #slowAppendMs: number;
  readonly #workerUrl: URL;
  readonly #clock: Clock;
  readonly #log: BackendLog | undefined;
  readonly #pending = new Map<number, Pending>();
  readonly #loads = new Map<number, LoadSink>();
  #lastRequest = START_REQUEST;
  #link: Link | undefined;
  #failure: BackendError | undefined;
  #appending: Promise<unknown> | undefined;

  constructor(options: SqliteOptions, clock: Clock, log?: BackendLog) {
    this.#dir = options.dir;
    this.#options = {
      synchronous: options.synchronous ?? "full",
      maxPageCount: options.maxPageCount ?? 0,
    };
    this.#slowAppendMs = options.slowAppendMs ?? 1000;
    this.#workerUrl = options.workerUrl ??
      new URL("./worker.ts", import.meta.url);
    this.#clock = clock;
    this.#log = log;
  }

  async open(): Promise<Head> {
    assert(this.#link === undefined, "backend is open");
    this.#failure = undefined;
    const dir = makeDir(this.#dir);
    const worker = new Worker(this.#workerUrl, workerOptions(dir));
    const channel = new MessageChannel();
    const mailbox = new Mailbox();
    this.#link = { worker, port: channel.port1, mailbox };
    worker.onmessage = (event: MessageEvent<Answer>) =>
      this.#receive(event.data);
    worker.onmessageerror = () => this.#fail("its answer cannot be read");
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    const start: Start = {
      shared: mailbox.shared,
      port: channel.port2,
      dir,
      options: this.#options,
    };
    const opened = this.#expect<Head>(START_REQUEST);
    worker.postMessage(start, [channel.port2]);
    try {
      return await opened;
    } catch (error) {
      this.#unlink();
      throw error;
    }
  }

  async load(sink: LoadSink): Promise<Head> {
    const request = ++this.#lastRequest;
    this.#loads.set(request, sink);
    try {
      return await this.#send({ request, op: "load" });
    } finally {
      this.#loads.delete(request);
    }
  }

  async append(batch: Batch): Promise<AppendOutcome> {
    while (this.#appending !== undefined) await this.#appending.catch(ignore);
    const began = this.#clock.monotonicMs();
    const appending = this.#append(batch);
    this.#appending = appending;
    try {
      return await appending;
    } finally {
      this.#appending = undefined;
      const tookMs = this.#clock.monotonicMs() - began;
      if (tookMs > this.#slowAppendMs) {
        this.#log?.warn("append was slow", {
          seq: batch.seq,
          bytes: batch.rows.length,
          tookMs,
        });
      }
    }
  }

  head(): Promise<Head> {
    return this.#send({ request: ++this.#lastRequest, op: "head" });
  }

  batchIdAt(seq: number): Promise<Uint8Array | undefined> {
    return this.#send({ request: ++this.#lastRequest, op: "batchIdAt", seq });
  }

  async batchesAfter(seq: number, limit: number): Promise<Batch[]> {
    const request = ++this.#lastRequest;
    const found = await this.#send<BatchAnswer[]>({
      request,
      op: "batchesAfter",
      seq,
      limit,
    });
    return found.map(({ ops, ...batch }) => ({
      ...batch,
      state: decodeState(ops),
    }));
  }

  async valuesOf(rows: readonly RowId[]): Promise<(Uint8Array | undefined)[]> {
    const packed = packRowIds(rows).buffer;
    const request = ++this.#lastRequest;
    const answer = await this.#send<ValuesAnswer>(
      { request, op: "valuesOf", rows: packed },
      [packed],
    );
    return recordsIn(answer);
  }

  eventsAfter(rev: number, maxBytes: number): Promise<Uint8Array> {
    return this.#send({
      request: ++this.#lastRequest,
      op: "eventsAfter",
      rev,
      maxBytes,
    });
  }

  remove(rows: readonly RowId[]): Promise<void> {
    const packed = packRowIds(rows).buffer;
    const request = ++this.#lastRequest;
    return this.#send({ request, op: "remove", rows: packed }, [packed]);
  }

  trimBatches(belowSeq: number): Promise<void> {
    return this.#send({
      request: ++this.#lastRequest,
      op: "trimBatches",
      belowSeq,
    });
  }

  /** Nobody else can commit: `onCommit` is never called. */
  watchCommits(_onCommit: (seq: number) => void): () => void {
    return ignore;
  }

  async snapshot(): Promise<Snapshot> {
    const { snapshot, sizeBytes } = await this.#send<SnapshotAnswer>({
      request: ++this.#lastRequest,
      op: "snapshot",
    });
    return {
      sizeBytes,
      read: (offset, maxBytes) =>
        this.#send({
          request: ++this.#lastRequest,
          op: "readSnapshot",
          snapshot,
          offset,
          maxBytes,
        }),
      close: async () => {
        if (this.#failure !== undefined) return;
        await this.#send({
          request: ++this.#lastRequest,
          op: "closeSnapshot",
          snapshot,
        });
      },
    };
  }

  size(): Promise<SizeInfo> {
    return this.#send({ request: ++this.#lastRequest, op: "size" });
  }

  defragment(): Promise<void> {
    return this.#send({ request: ++this.#lastRequest, op: "defragment" });
  }

  /** Lets the append under way finish, rejects other calls, writes the WAL back, releases the lock. */
  async close(): Promise<void> {
    if (this.#link === undefined) return;
    const closed = this.#failure === undefined
      ? this.#send<void>({ request: ++this.#lastRequest, op: "close" })
      : undefined;
    this.#failure ??= new BackendError("Cannot use the backend: it is closed", {
      kind: "closed",
    });
    try {
      await closed;
    } finally {
      this.#unlink();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #append(batch: Batch): Promise<AppendOutcome> {
    const request = ++this.#lastRequest;
    const { seq, id, firstRev, lastRev, timeMs, rows } = batch;
    const ops = encodeState(batch.state);
    const link = this.#link;
    if (link === undefined || !link.mailbox.fits(rows.length + ops.length)) {
      const moved = ownBytes(rows).buffer;
      return this.#send({
        request,
        op: "append",
        batch: {
          seq,
          id: ownBytes(id).buffer,
          firstRev,
          lastRev,
          timeMs,
          rows: moved,
          ops: ops.buffer,
        },
      }, [moved]);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const outcome = this.#expect<AppendOutcome>(request);
    void link.mailbox.put({
      request,
      seq,
      id,
      firstRev,
      lastRev,
      timeMs,
      rows,
      ops,
    }).then((code) => {
      // The message that says what failed is on its way.
      if (code !== SlotOutcome.Failed) this.#settle(request, OUTCOME[code]);
    });
    return outcome;
  }

  /** Rejects if the backend is not open; that is the caller's mistake after `close` and the world's after a crash. */
  #send<T>(message: Request, transfer: ArrayBuffer[] = []): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#link === undefined) {
      return Promise.reject(
        new BackendError("Cannot use the backend: it is not open", {
          kind: "closed",
        }),
      );
    }
    const answer = this.#expect<T>(message.request);
    this.#link.port.postMessage(message, transfer);
    this.#link.mailbox.ring();
    return answer;
  }

  #expect<T>(request: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(request, {
        resolve: resolve as (value: unknown) => void,
        reject,
      });
    });
  }

  #receive(answer: Answer): void {
    if ("notice" in answer) {
      const { message: error, cure } = answer.notice;
      this.#log?.warn("checkpoint failed; it is tried again", { error, cure });
      return;
    }
    if ("ok" in answer) return this.#settle(answer.request, answer.ok);
    if ("error" in answer) {
      return this.#reject(answer.request, errorOf(answer.error));
    }
    const sink = this.#loads.get(answer.request);
    if (sink === undefined) return;
    try {
      if ("rows" in answer) sink.rows(answer.rows);
      else for (const change of decodeState(answer.state)) sink.state(change);
    } catch (error) {
      this.#loads.delete(answer.request);
      this.#post({
        request: ++this.#lastRequest,
        op: "cancelLoad",
        load: answer.request,
      });
      return this.#reject(answer.request, error);
    }
    this.#post({
      request: ++this.#lastRequest,
      op: "loaded",
      load: answer.request,
    });
  }

  /** Sends what is not answered. */
  #post(message: Request): void {
    this.#link?.port.postMessage(message);
    this.#link?.mailbox.ring();
  }

  #settle(request: number, value: unknown): void {
    const pending = this.#pending.get(request);
    this.#pending.delete(request);
    pending?.resolve(value);
  }

  #reject(request: number, error: unknown): void {
    const pending = this.#pending.get(request);
    this.#pending.delete(request);
    pending?.reject(error);
  }

  /** The worker died: nothing that is pending will be answered. */
  #fail(reason: string): void {
    this.#failure ??= new BackendError(
      `Cannot go on: the SQLite worker stopped: ${reason}`,
      {
        kind: "closed",
      },
    );
    for (const request of [...this.#pending.keys()]) {
      this.#reject(request, this.#failure);
    }
  }

  #unlink(): void {
    this.#link?.port.close();
    this.#link?.worker.terminate();
    this.#link = undefined;
    for (const request of [...this.#pending.keys()]) {
      this.#reject(
        request,
        this.#failure ??
          new BackendError("Cannot go on: the backend was closed", {
            kind: "closed",
          }),
      );
    }
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What there is while the backend is open. */
interface Link {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly mailbox: Mailbox;
}

const OUTCOME: Record<0 | 1, AppendOutcome> = {
  [SlotOutcome.Committed]: "committed",
  [SlotOutcome.Conflict]: "conflict",
};

function ignore(): void {}

/** The directory's real path, since permissions are checked against it. */
function makeDir(dir: string): string {
  try {
    Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
    return Deno.realPathSync(dir);
  } catch (error) {
    throw toBackendError(`open ${JSON.stringify(dir)}`, error) ?? error;
  }
}
