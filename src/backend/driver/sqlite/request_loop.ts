import { errorParts } from "../thread_messages.ts";
import { receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../../../base/assert.ts";
import { type AppendOutcome, BackendError } from "../../backend.ts";
import type { DataDir } from "./data_dir.ts";
import type { Database, LoadWindow } from "./database.ts";
import { type Job, Step } from "./job.ts";
import { type Mailbox, SlotOutcome } from "./mailbox.ts";
import type { Answer, BatchMessage, Op, Request } from "./protocol.ts";
import { SnapshotFiles } from "./snapshot_files.ts";
import { toBackendError } from "./sqlite_error.ts";

/**
 * What the worker does all day: append first, then messages, then one slice of one job, then sleep.
 *
 * Invariant: every request is answered exactly once, unless an assertion fails, which ends the worker.
 */
export class RequestLoop {
  readonly #database: Database;
  readonly #mailbox: Mailbox;
  readonly #port: MessagePort;
  readonly #answer: (answer: Answer, transfer: ArrayBuffer[]) => void;
  readonly #snapshots: SnapshotFiles;
  readonly #dir: string;
  readonly #jobs: RunningJob[] = [];
  readonly #loads = new Map<number, Load>();
  readonly #copies: number[] = [];
  #copying = false;
  #closing: number | undefined;

  constructor(
    parts: {
      database: Database;
      dir: DataDir;
      mailbox: Mailbox;
      port: MessagePort;
    },
    answer: (answer: Answer, transfer: ArrayBuffer[]) => void,
  ) {
    this.#database = parts.database;
    this.#mailbox = parts.mailbox;
    this.#port = parts.port;
    this.#answer = answer;
    this.#snapshots = new SnapshotFiles(parts.dir);
    this.#dir = JSON.stringify(parts.dir.path);
  }

  /** Serves until a close was asked for; returns that request. The thread sleeps in here. */
  async run(): Promise<number> {
    while (this.#closing === undefined) {
      const rings = this.#mailbox.rings();
      const busy = this.#turn();
      const copy = this.#copies.shift();
      if (copy !== undefined) await this.#copy(copy);
      else if (!busy && this.#closing === undefined) {
        if (this.#database.checkpointDue) this.#checkpoint();
        else this.#mailbox.sleep(rings);
      }
    }
    this.#rejectAll();
    return this.#closing;
  }

  /** Does what is there to do, one slice at most of what is long; false if there was nothing. */
  #turn(): boolean {
    let busy = this.#appendFromSlot();
    for (;;) {
      const received = receiveMessageOnPort(this.#port as never) as {
        message: Request;
      } | undefined;
      if (received === undefined) break;
      busy = true;
      this.#receive(received.message);
      this.#appendFromSlot();
    }
    if (this.#database.checkpointOverdue) this.#checkpoint();
    return this.#runSlice() || busy;
  }

  #checkpoint(): void {
    const failure = this.#database.checkpoint();
    if (failure !== undefined) {
      this.#answer({ notice: errorParts(failure) }, []);
    }
  }

  #appendFromSlot(): boolean {
    const batch = this.#mailbox.peek();
    if (batch === undefined) return false;
    let outcome: SlotOutcome;
    try {
      outcome = this.#database.append(batch) === "committed"
        ? SlotOutcome.Committed
        : SlotOutcome.Conflict;
    } catch (error) {
      this.#reject(batch.request, "append", error);
      outcome = SlotOutcome.Failed;
    }
    this.#mailbox.finish(outcome);
    return true;
  }

  #receive(message: Request): void {
    try {
      this.#dispatch(message);
    } catch (error) {
      this.#reject(message.request, message.op, error);
    }
  }

  #dispatch(message: Request): void {
    const { request, op } = message;
    const database = this.#database;
    switch (op) {
      case "append":
        return this.#resolve(
          request,
          this.#appendFromMessage(request, message.batch),
        );
      case "head":
        return this.#resolve(request, database.head);
      case "batchIdAt":
        return this.#resolve(request, database.batchIdAt(message.seq));
      case "size":
        return this.#resolve(request, database.size());
      case "load": {
        const load = new Load(request, this.#answer);
        this.#loads.set(request, load);
        return this.#start(request, op, database.load(load));
      }
      case "loaded":
        this.#loads.get(message.load)?.acknowledged();
        return;
      case "cancelLoad":
        return this.#cancelLoad(message.load);
      case "batchesAfter":
        return this.#start(
          request,
          op,
          database.batchesAfter(message.seq, message.limit),
        );
      case "valuesOf":
        return this.#start(
          request,
          op,
          database.valuesOf(new Float64Array(message.rows)),
        );
      case "eventsAfter":
        return this.#start(
          request,
          op,
          database.eventsAfter(message.rev, message.maxBytes),
        );
      case "remove":
        return this.#start(
          request,
          op,
          database.remove(new Float64Array(message.rows)),
        );
      case "trimBatches":
        return this.#start(request, op, database.trimBatches(message.belowSeq));
      case "defragment":
        return this.#start(request, op, database.defragment());
      case "snapshot":
        this.#snapshots.reserve();
        this.#copies.push(request);
        return;
      case "readSnapshot":
        return this.#resolve(
          request,
          this.#snapshots.read(
            message.snapshot,
            message.offset,
            message.maxBytes,
          ),
        );
      case "closeSnapshot":
        this.#snapshots.close(message.snapshot);
        return this.#resolve(request, undefined);
      case "close":
        this.#closing = request;
        return;
      default:
        op satisfies never;
    }
  }

  #appendFromMessage(request: number, batch: BatchMessage): AppendOutcome {
    const { seq, firstRev, lastRev, timeMs } = batch;
    return this.#database.append({
      request,
      seq,
      id: new Uint8Array(batch.id),
      firstRev,
      lastRev,
      timeMs,
      rows: new Uint8Array(batch.rows),
      ops: new Uint8Array(batch.ops),
    });
  }

  #start(request: number, op: Op, job: Job<unknown>): void {
    this.#jobs.push({ request, op, job });
  }

  /** Runs a slice of the first job that can do something, and sends it to the end of the line. */
  #runSlice(): boolean {
    for (let i = this.#jobs.length; i > 0; i--) {
      const running = this.#jobs.shift()!;
      const { request, op, job } = running;
      let result;
      try {
        result = job.next();
      } catch (error) {
        this.#loads.delete(request);
        this.#reject(request, op, error);
        return true;
      }
      if (result.done === true) {
        this.#loads.delete(request);
        this.#resolve(request, result.value);
        return true;
      }
      this.#jobs.push(running);
      if (result.value === Step.More) return true;
    }
    return false;
  }

  #cancelLoad(request: number): void {
    const at = this.#jobs.findIndex((running) => running.request === request);
    if (at < 0) return;
    this.#jobs.splice(at, 1);
    this.#loads.delete(request);
  }

  async #copy(request: number): Promise<void> {
    assert(!this.#copying, "two snapshots are copied at once");
    this.#copying = true;
    try {
      this.#resolve(
        request,
        await this.#snapshots.copy(() => void this.#turn()),
      );
    } catch (error) {
      this.#reject(request, "snapshot", error);
    }
    this.#copying = false;
  }

  #rejectAll(): void {
    const closed = new BackendError("Cannot go on: the backend was closed", {
      kind: "closed",
    });
    for (const { request, op } of this.#jobs) this.#reject(request, op, closed);
    for (const request of this.#copies) {
      this.#reject(request, "snapshot", closed);
    }
    this.#jobs.length = this.#copies.length = 0;
    this.#snapshots.closeAll();
  }

  #resolve(request: number, ok: unknown): void {
    this.#answer({ request, ok }, buffersOf(ok));
  }

  /** What the world did is answered; what we did wrong ends the worker. */
  #reject(request: number, op: Op, error: unknown): void {
    const action = op === "load" ? `load ${this.#dir}` : ACTION[op];
    const known = toBackendError(action, error);
    if (known === undefined) throw error;
    this.#answer({ request, error: errorParts(known) }, []);
  }
}

/** What an error message says could not be done. */
const ACTION: Record<Op, string> = {
  append: "append",
  load: "load",
  loaded: "load",
  cancelLoad: "load",
  head: "read the head",
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
  close: "close",
};

interface RunningJob {
  readonly request: number;
  readonly op: Op;
  readonly job: Job<unknown>;
}

/** Blocks that may be on their way to the main thread: one is applied there while the next are read here. */
const LOAD_WINDOW = 4;

/** A load under way: counts what the main thread has not taken yet. */
class Load implements LoadWindow {
  #outstanding = 0;

  constructor(
    readonly request: number,
    readonly answer: (answer: Answer, transfer: ArrayBuffer[]) => void,
  ) {}

  get hasRoom(): boolean {
    return this.#outstanding < LOAD_WINDOW;
  }

  acknowledged(): void {
    this.#outstanding--;
  }

  state(state: Uint8Array<ArrayBuffer>): void {
    this.#outstanding++;
    this.answer({ request: this.request, state }, [state.buffer]);
  }

  rows(rows: Uint8Array<ArrayBuffer>): void {
    this.#outstanding++;
    this.answer({ request: this.request, rows }, [rows.buffer]);
  }
}

/** The buffers in an answer that can be moved instead of copied. */
function buffersOf(ok: unknown): ArrayBuffer[] {
  if (ok instanceof Uint8Array) return [ok.buffer as ArrayBuffer];
  if (Array.isArray(ok)) {
    return ok.flatMap((item) => buffersOf((item as { rows?: unknown }).rows));
  }
  if (typeof ok === "object" && ok !== null && "bytes" in ok) {
    return buffersOf(ok.bytes);
  }
  return [];
}
