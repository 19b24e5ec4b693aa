import { AssertionError } from "../../../base/assert.ts";
import type { Clock } from "../../../base/clock.ts";
import { type AppendOutcome, BackendError, type Head } from "../../backend.ts";
import { CommitWatch } from "./commit_watch.ts";
import { errorOf, errorParts } from "../thread_messages.ts";
import type { Dialect } from "./dialect.ts";
import type {
  Answer,
  BatchMessage,
  Call,
  Credentials,
  Op,
  Request,
  ServerAddress,
  SnapshotAnswer,
} from "./protocol.ts";
import { type LoadWindow, RemoteDatabase } from "./remote_database.ts";

/** Makes the engine's dialect; `credentials` are to be read for each new connection. */
export type DialectMaker = (
  address: ServerAddress,
  credentials: () => Promise<Credentials>,
) => Dialect;

/** The worker's end of the messages: `self`, or a test's. */
export interface WorkerPort {
  post(answer: Answer, transfer: ArrayBuffer[]): void;
  /** Ends the worker because of a mistake of ours. */
  fail(error: unknown): void;
}

/**
 * What a database worker does with the requests of the main thread: all of them at once, since the database does
 * the waiting. The main thread sees to it that there is one append at a time.
 *
 * Invariant: every request that wants an answer gets exactly one, unless an assertion fails, which ends the worker.
 */
export class WorkerLoop {
  readonly #makeDialect: DialectMaker;
  readonly #clock: Clock;
  readonly #port: WorkerPort;
  readonly #loads = new Map<number, Load>();
  readonly #snapshots = new Map<number, Uint8Array>();
  readonly #asked = new Map<number, PromiseWithResolvers<Credentials>>();
  #lastAsked = 0;
  #isCopying = false;
  #database: RemoteDatabase | undefined;
  #watch: CommitWatch | undefined;

  constructor(
    makeDialect: DialectMaker,
    clock: Clock,
    port: WorkerPort,
  ) {
    this.#makeDialect = makeDialect;
    this.#clock = clock;
    this.#port = port;
  }

  async receive(message: Request): Promise<void> {
    if (message.op === "loaded") {
      return this.#loads.get(message.load)?.acknowledged();
    }
    if (message.op === "cancelLoad") {
      return this.#loads.get(message.load)?.cancel();
    }
    if (message.op === "credentials") return this.#answered(message);
    try {
      const ok = await this.#dispatch(message);
      this.#port.post({ request: message.request, ok }, buffersOf(ok));
    } catch (error) {
      this.#reject(message, error);
    }
  }

  async #dispatch(message: Request): Promise<unknown> {
    if (message.op === "open") return await this.#open(message.server);
    const database = this.#database;
    if (database === undefined) throw new AssertionError("worker is not open");
    switch (message.op) {
      case "append":
        return await this.#append(database, message.batch);
      case "head":
        return await database.head();
      case "stateOf":
        return await database.stateOf(message.kind);
      case "batchIdAt":
        return await database.batchIdAt(message.seq);
      case "batchesAfter":
        return await database.batchesAfter(message.seq, message.limit);
      case "valuesOf":
        return await database.valuesOf(message.rows);
      case "eventsAfter":
        return await database.eventsAfter(message.rev, message.maxBytes);
      case "remove":
        return await database.remove(message.rows);
      case "trimBatches":
        return await database.trimBatches(message.belowSeq);
      case "size":
        return await database.size();
      case "defragment":
        return await database.defragment();
      case "load":
        return await this.#load(database, message.request);
      case "snapshot":
        return await this.#snapshot(database, message.request);
      case "readSnapshot":
        return this.#readSnapshot(message);
      case "closeSnapshot":
        this.#snapshots.delete(message.snapshot);
        return;
      case "watch":
        return this.#watch?.start();
      case "unwatch":
        return this.#watch?.stop();
      case "announce":
        return await database.replicas.announce(message.self, message.claimMs);
      case "retire":
        return await database.replicas.retire(message.id, message.incarnation);
      case "close":
        this.#watch?.stop();
        this.#snapshots.clear();
        return await database.close();
    }
  }

  async #open(address: ServerAddress): Promise<unknown> {
    const database = new RemoteDatabase(
      this.#makeDialect(address, () => this.#credentials()),
      this.#clock,
      { attemptTimeoutMs: address.statementTimeoutMs },
      {
        away: (reason) =>
          this.#port.post({ link: { isUp: false, reason } }, []),
        back: (awayMs) => this.#port.post({ link: { isUp: true, awayMs } }, []),
      },
    );
    this.#database = database;
    const { head, warnings } = await database.open();
    for (const { message, fields } of warnings) {
      this.#port.post({ warning: message, fields }, []);
    }
    this.#watch = new CommitWatch(
      database,
      this.#clock,
      (seq) => this.#port.post({ heardOf: seq }, []),
    );
    return head;
  }

  /** From the main thread, which may read files. */
  #credentials(): Promise<Credentials> {
    const asked = ++this.#lastAsked;
    const answer = Promise.withResolvers<Credentials>();
    this.#asked.set(asked, answer);
    this.#port.post({ wantsCredentials: asked }, []);
    return answer.promise;
  }

  #answered({ asked, answer }: Extract<Call, { op: "credentials" }>): void {
    const waiting = this.#asked.get(asked);
    this.#asked.delete(asked);
    if ("kind" in answer) waiting?.reject(errorOf(answer));
    else waiting?.resolve(answer);
  }

  async #append(
    database: RemoteDatabase,
    batch: BatchMessage,
  ): Promise<AppendOutcome> {
    let outcome: AppendOutcome | undefined;
    this.#watch?.writing(batch.seq);
    try {
      return outcome = await database.append(batch);
    } finally {
      if (outcome !== "committed") this.#watch?.gaveUp(batch.seq);
    }
  }

  async #load(database: RemoteDatabase, request: number): Promise<Head> {
    const load = new Load(request, this.#port);
    this.#loads.set(request, load);
    try {
      return await database.load(load);
    } finally {
      this.#loads.delete(request);
    }
  }

  async #snapshot(
    database: RemoteDatabase,
    request: number,
  ): Promise<SnapshotAnswer> {
    if (this.#isCopying || this.#snapshots.size >= MAX_SNAPSHOTS) {
      throw new BackendError(
        "Cannot make a snapshot: another one is under way",
      );
    }
    this.#isCopying = true;
    try {
      const bytes = await database.snapshot();
      this.#snapshots.set(request, bytes);
      return { snapshot: request, sizeBytes: bytes.length };
    } finally {
      this.#isCopying = false;
    }
  }

  #readSnapshot(
    message: { snapshot: number; offset: number; maxBytes: number },
  ): Uint8Array {
    const bytes = this.#snapshots.get(message.snapshot);
    if (bytes === undefined) {
      throw new BackendError("Cannot read a snapshot: it is closed", {
        kind: "closed",
      });
    }
    return bytes.slice(message.offset, message.offset + message.maxBytes);
  }

  #reject(message: Request, error: unknown): void {
    const known = this.#database?.errorOf(ACTION[message.op], error);
    if (known === undefined) return this.#port.fail(error);
    this.#port.post(
      { request: message.request, error: errorParts(known) },
      [],
    );
  }
}

/** Each is as large as the store; a second one while the first is still being read is enough. */
const MAX_SNAPSHOTS = 2;

/** What an error message says could not be done. */
const ACTION: Record<Op, string> = {
  open: "open the database",
  credentials: "connect",
  append: "append",
  load: "load",
  loaded: "load",
  cancelLoad: "load",
  head: "read the head",
  stateOf: "read state",
  batchIdAt: "read a batch",
  batchesAfter: "read batches",
  valuesOf: "read values",
  eventsAfter: "read events",
  remove: "remove rows",
  trimBatches: "trim batches",
  size: "read the size",
  defragment: "defragment",
  snapshot: "make a snapshot",
  readSnapshot: "read a snapshot",
  closeSnapshot: "close a snapshot",
  watch: "watch commits",
  unwatch: "watch commits",
  announce: "announce this server",
  retire: "retire this server",
  close: "close",
};

/** Blocks that may be on their way to the main thread: one is applied there while the next are read here. */
const LOAD_WINDOW = 4;

/** A load under way: waits while the main thread has enough to do. */
class Load implements LoadWindow {
  readonly #request: number;
  readonly #port: WorkerPort;
  #outstanding = 0;
  #isCancelled = false;
  #wake: (() => void) | undefined;

  constructor(request: number, port: WorkerPort) {
    this.#request = request;
    this.#port = port;
  }

  acknowledged(): void {
    this.#outstanding--;
    this.#wake?.();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#wake?.();
  }

  async state(state: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#room();
    this.#port.post({ request: this.#request, state }, [state.buffer]);
  }

  async rows(rows: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#room();
    this.#port.post({ request: this.#request, rows }, [rows.buffer]);
  }

  async #room(): Promise<void> {
    while (this.#outstanding >= LOAD_WINDOW && !this.#isCancelled) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#isCancelled) {
      throw new BackendError("Cannot load: it was given up");
    }
    this.#outstanding++;
  }
}

/** The buffers in an answer that can be moved instead of copied. */
function buffersOf(ok: unknown): ArrayBuffer[] {
  if (ok instanceof Uint8Array) return ownBuffer(ok);
  if (Array.isArray(ok)) {
    return ok.flatMap((item) => buffersOf((item as { rows?: unknown }).rows));
  }
  if (typeof ok === "object" && ok !== null && "bytes" in ok) {
    return buffersOf(ok.bytes);
  }
  return [];
}

/** Small arrays may be views of a buffer that others use too. */
function ownBuffer({ buffer, length }: Uint8Array): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer && buffer.byteLength === length
    ? [buffer]
    : [];
}
