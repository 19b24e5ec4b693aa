import type { ReplicaTable } from "../../replica_table.ts";
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
import type { StateChange, StateKind } from "../../state_change.ts";
import { decodeState, encodeState } from "../../state_codec.ts";
import {
  errorOf,
  type ErrorParts,
  errorParts,
  ownBytes,
  packRowIds,
  recordsIn,
  type ValuesAnswer,
} from "../thread_messages.ts";
import type { CredentialSource } from "./credential_source.ts";
import type {
  Answer,
  BatchMessage,
  Call,
  Credentials,
  LinkChange,
  ServerAddress,
  SnapshotAnswer,
} from "./protocol.ts";

/** What the driver tells an operator. */
export interface RemoteLog {
  warn(message: string, fields: Record<string, unknown>): void;
}

/** Which engine, and in which worker. */
export interface RemoteEngine {
  /** For logs: `postgres`, `mysql`. */
  readonly name: string;
  readonly workerUrl: URL;
  /** Variables that the engine's package looks at; nothing else of the environment is to be seen. */
  readonly env: readonly string[];
}

export interface RemoteOptions {
  /** An append that takes longer is logged. Default 1000, as etcd warns of slow syncs. */
  readonly slowAppendMs?: number;
}

/** How the database has been; for metrics. */
export interface LinkStats {
  /** False: it did not answer for a while, and calls fail at once. */
  readonly isUp: boolean;
  /** How often it went away. */
  readonly outages: number;
  /** How long it was away altogether, outages that are over. */
  readonly awayMs: number;
}

/**
 * A database server: this half lives in the main thread and passes everything to a worker, which may reach the
 * server and nothing else.
 *
 * Others may write to the same tables: `append` then answers `conflict`, and `watchCommits` tells of it.
 * What `valuesOf` returns are views that share a buffer: copy what is to be kept.
 *
 *   new --open()--> opening --head--> open --close()--> closed
 *                      \--refused--> new    \--the worker died--> failed (every call rejects)
 */
export class RemoteBackend implements Backend {
  readonly isExclusive = false;
  readonly replicas: ReplicaTable = {
    announce: (self, claim) =>
      this.#call({ op: "announce", self, claimMs: claim?.ttlMs ?? 0 }),
    retire: (id, incarnation) => this.#call({ op: "retire", id, incarnation }),
  };
  readonly #engine: RemoteEngine;
  readonly #address: ServerAddress;
  readonly #credentials: CredentialSource;
  readonly #slowAppendMs: number;
  readonly #clock: Clock;
  readonly #log: RemoteLog | undefined;
  readonly #pending = new Map<number, Pending>();
  readonly #loads = new Map<number, LoadSink>();
  readonly #watchers = new Set<(seq: number) => void>();
  #lastRequest = 0;
  #link: LinkStats = { isUp: true, outages: 0, awayMs: 0 };
  #worker: Worker | undefined;
  #failure: BackendError | undefined;
  #appending: Promise<unknown> | undefined;

  constructor(
    engine: RemoteEngine,
    address: ServerAddress,
    credentials: CredentialSource,
    clock: Clock,
    log?: RemoteLog,
    options: RemoteOptions = {},
  ) {
    this.#engine = engine;
    this.#address = address;
    this.#credentials = credentials;
    this.#clock = clock;
    this.#log = log;
    this.#slowAppendMs = options.slowAppendMs ?? 1000;
  }

  get link(): LinkStats {
    return this.#link;
  }

  get name(): string {
    return this.#engine.name;
  }

  async open(): Promise<Head> {
    assert(this.#worker === undefined, "backend is open");
    this.#failure = undefined;
    const worker = this.#startWorker();
    this.#worker = worker;
    worker.onmessage = (event: MessageEvent<Answer>) =>
      this.#receive(event.data);
    worker.onmessageerror = () => this.#fail("its answer cannot be read");
    worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message);
    };
    try {
      return await this.#call<Head>({ op: "open", server: this.#address });
    } catch (error) {
      this.#unlink();
      throw error;
    }
  }

  async load(sink: LoadSink): Promise<Head> {
    const request = ++this.#lastRequest;
    this.#loads.set(request, sink);
    try {
      return await this.#send<Head>(request, { op: "load" });
    } finally {
      this.#loads.delete(request);
    }
  }

  async append(batch: Batch): Promise<AppendOutcome> {
    while (this.#appending !== undefined) await this.#appending.catch(ignore);
    const began = this.#clock.monotonicMs();
    const bytes = batch.rows.length;
    const { seq, id, firstRev, lastRev, timeMs } = batch;
    const rows = ownBytes(batch.rows);
    const ops = encodeState(batch.state);
    const message = { seq, id, firstRev, lastRev, timeMs, rows, ops };
    const appending = this.#call<AppendOutcome>(
      { op: "append", batch: message },
      [rows.buffer],
    );
    this.#appending = appending;
    try {
      return await appending;
    } finally {
      this.#appending = undefined;
      const tookMs = this.#clock.monotonicMs() - began;
      if (tookMs > this.#slowAppendMs) {
        this.#log?.warn("append was slow", { seq, bytes, tookMs });
      }
    }
  }

  head(): Promise<Head> {
    return this.#call({ op: "head" });
  }

  batchIdAt(seq: number): Promise<Uint8Array | undefined> {
    return this.#call({ op: "batchIdAt", seq });
  }

  async stateOf(kind: StateKind): Promise<StateChange[]> {
    return decodeState(await this.#call<Uint8Array>({ op: "stateOf", kind }));
  }

  async batchesAfter(seq: number, limit: number): Promise<Batch[]> {
    const found = await this.#call<BatchMessage[]>({
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
    const packed = packRowIds(rows);
    const answer = await this.#call<ValuesAnswer>(
      { op: "valuesOf", rows: packed },
      [packed.buffer],
    );
    return recordsIn(answer);
  }

  eventsAfter(rev: number, maxBytes: number): Promise<Uint8Array> {
    return this.#call({ op: "eventsAfter", rev, maxBytes });
  }

  remove(rows: readonly RowId[]): Promise<void> {
    const packed = packRowIds(rows);
    return this.#call({ op: "remove", rows: packed }, [packed.buffer]);
  }

  trimBatches(belowSeq: number): Promise<void> {
    return this.#call({ op: "trimBatches", belowSeq });
  }

  watchCommits(onCommit: (seq: number) => void): () => void {
    if (this.#watchers.size === 0) this.#call({ op: "watch" }).catch(ignore);
    const watcher = (seq: number) => onCommit(seq);
    this.#watchers.add(watcher);
    return () => {
      if (!this.#watchers.delete(watcher)) return;
      if (this.#watchers.size === 0) {
        this.#call({ op: "unwatch" }).catch(ignore);
      }
    };
  }

  async snapshot(): Promise<Snapshot> {
    const { snapshot, sizeBytes } = await this.#call<SnapshotAnswer>({
      op: "snapshot",
    });
    return {
      sizeBytes,
      read: (offset, maxBytes) =>
        this.#call({ op: "readSnapshot", snapshot, offset, maxBytes }),
      close: async () => {
        if (this.#failure !== undefined) return;
        await this.#call({ op: "closeSnapshot", snapshot });
      },
    };
  }

  size(): Promise<SizeInfo> {
    return this.#call({ op: "size" });
  }

  defragment(): Promise<void> {
    return this.#call({ op: "defragment" });
  }

  /** Lets the append under way finish, rejects other calls, ends the connections. */
  async close(): Promise<void> {
    if (this.#worker === undefined) return;
    const last = this.#appending;
    const isAlive = this.#failure === undefined;
    const close = isAlive
      ? () => this.#post<void>(++this.#lastRequest, { op: "close" })
      : () => Promise.resolve();
    this.#failure ??= closed("Cannot use the backend: it is closed");
    this.#watchers.clear();
    try {
      await last?.catch(ignore);
      await close();
    } finally {
      this.#unlink();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #startWorker(): Worker {
    const addresses = this.#address.hosts.map(({ host, port }) =>
      host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
    );
    const options = {
      type: "module" as const,
      name: `stele-${this.#engine.name}`,
      deno: {
        permissions: {
          net: addresses,
          env: [...this.#engine.env],
          read: false,
          write: false,
          run: false,
          ffi: false,
          sys: false,
          import: false,
        },
      },
    };
    // `deno` is an unstable option that the types do not know.
    return new Worker(this.#engine.workerUrl, options);
  }

  #call<T>(call: Call, transfer: ArrayBuffer[] = []): Promise<T> {
    return this.#send(++this.#lastRequest, call, transfer);
  }

  /** Rejects if the backend is not open, or has too much to do. */
  #send<T>(
    request: number,
    call: Call,
    transfer: ArrayBuffer[] = [],
  ): Promise<T> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#worker === undefined) {
      return Promise.reject(closed("Cannot use the backend: it is not open"));
    }
    if (this.#pending.size >= MAX_PENDING) {
      return Promise.reject(
        new BackendError(
          `Cannot ask the database: ${MAX_PENDING} requests wait already`,
        ),
      );
    }
    return this.#post(request, call, transfer);
  }

  #post<T>(
    request: number,
    call: Call,
    transfer: ArrayBuffer[] = [],
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(request, {
        resolve: resolve as (value: unknown) => void,
        reject,
      });
      this.#worker?.postMessage({ ...call, request }, transfer);
    });
  }

  #receive(answer: Answer): void {
    if ("heardOf" in answer) {
      for (const watcher of [...this.#watchers]) watcher(answer.heardOf);
    } else if ("wantsCredentials" in answer) {
      void this.#sendCredentials(answer.wantsCredentials);
    } else if ("link" in answer) {
      this.#linkChanged(answer.link);
    } else if ("warning" in answer) {
      this.#log?.warn(answer.warning, answer.fields);
    } else if ("ok" in answer) {
      this.#take(answer.request)?.resolve(answer.ok);
    } else if ("error" in answer) {
      this.#take(answer.request)?.reject(errorOf(answer.error));
    } else this.#loadPart(answer);
  }

  #linkChanged(change: LinkChange): void {
    const { outages, awayMs } = this.#link;
    if (change.isUp) {
      this.#link = { isUp: true, outages, awayMs: awayMs + change.awayMs };
      this.#log?.warn("database is back", { awayMs: change.awayMs });
    } else {
      this.#link = { isUp: false, outages: outages + 1, awayMs };
      this.#log?.warn("database is away: calls fail until it is back", {
        reason: change.reason,
      });
    }
  }

  async #sendCredentials(asked: number): Promise<void> {
    let answer: Credentials | ErrorParts;
    try {
      answer = await this.#credentials.read();
    } catch (error) {
      assert(
        error instanceof BackendError,
        "credentials fail with BackendError",
      );
      answer = errorParts(error);
    }
    const request = ++this.#lastRequest;
    this.#worker?.postMessage({ request, op: "credentials", asked, answer });
  }

  #loadPart(part: Extract<Answer, { rows: unknown } | { state: unknown }>) {
    const load = part.request;
    const sink = this.#loads.get(load);
    if (sink === undefined) return;
    const request = ++this.#lastRequest;
    try {
      if ("rows" in part) sink.rows(part.rows);
      else for (const change of decodeState(part.state)) sink.state(change);
    } catch (error) {
      this.#loads.delete(load);
      this.#worker?.postMessage({ request, op: "cancelLoad", load });
      this.#take(load)?.reject(error);
      return;
    }
    this.#worker?.postMessage({ request, op: "loaded", load });
  }

  #take(request: number): Pending | undefined {
    const pending = this.#pending.get(request);
    this.#pending.delete(request);
    return pending;
  }

  /** The worker died: nothing that is pending will be answered. */
  #fail(reason: string): void {
    this.#failure ??= closed(
      `Cannot go on: the ${this.name} worker stopped: ${reason}`,
    );
    this.#rejectAll(this.#failure);
  }

  #unlink(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#rejectAll(
      this.#failure ?? closed("Cannot go on: the backend was closed"),
    );
  }

  #rejectAll(error: BackendError): void {
    for (const request of [...this.#pending.keys()]) {
      this.#take(request)?.reject(error);
    }
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Requests that may wait for the worker: catching up watchers come in pages, so that hundreds are plenty. */
const MAX_PENDING = 4096;

function ignore(): void {}

function closed(message: string): BackendError {
  return new BackendError(message, { kind: "closed" });
}
