import { setImmediate } from "node:timers";
import type { RosterEntry } from "../backend/replica_table.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import {
  type ForwardAnswers,
  type ForwardedAnswer,
  type ForwardedCall,
  newForwardRequests,
  sizeForwardedCall,
} from "../pb/stelepb.ts";
import type {
  PeerListener,
  PeerStream,
  PeerTransport,
  ReplicatedLog,
} from "./peer_transport.ts";

/** Calls that wait for their answers; etcd refuses more than 5000 requests that are not applied. */
const MAX_OUTSTANDING = 5000;
/** Bytes of their requests. */
const MAX_OUTSTANDING_BYTES = 64 << 20;
/** How often the silence of the other side is looked at, while there is something to wait for. */
const TICK_MS = 250;
/** Time for the stream to be opened. */
const CONNECT_MS = 1000;
/** After so many ticks without a sign of life nothing more is passed on. */
const SUSPECT_TICKS = 4;
/** After so many, those who wait are told that nobody knows what became of their calls. */
const DOWN_TICKS = 8;
/** An answer does not wait longer than this for its batch to be applied here. */
const MAX_CATCH_UP_MS = 1000;

/** Told when a link ends by itself; without an error, because the other side has ended it in good order. */
export type DownListener = (link: PeerLink, error: Error | undefined) => void;

export interface PeerLinkOptions {
  /** What the other side takes as one message. */
  readonly maxMessageBytes: number;
}

/**
 * The way to one other replica, for the calls that are passed on to it: one stream, on which the calls of one turn of
 * the event loop go as one message.
 *
 *   connecting --first message--> open --1 s of silence--> suspect --a message--> open
 *        \             \--retire()--> retiring --all answered--> closed
 *         \--1 s, error--> closed <--2 s of silence, error-- any
 *
 * A call is passed on once at most. If its answer is lost, it fails with "possibly due to connection lost": whether it
 * was done is not known, and only its maker can find out. Time is counted in ticks, so that a process that stood still
 * does not take its own silence for the other's.
 */
export class PeerLink implements PeerListener {
  readonly peer: RosterEntry;
  readonly #log: ReplicatedLog;
  readonly #clock: Clock;
  readonly #onDown: DownListener;
  readonly #maxMessageBytes: number;
  readonly #stream: PeerStream;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #connectTimer: Timer;
  #state: "connecting" | "open" | "retiring" | "closed" = "connecting";
  readonly #closed = Promise.withResolvers<void>();
  #lastId = 0;
  #batch: ForwardedCall[] = [];
  #batchBytes = 0;
  #outstandingBytes = 0;
  #isFlushing = false;
  #silentTicks = 0;
  #wasOpen = false;
  #ticker: Timer | undefined = undefined;

  /** `onDown` is called once, when the link ends by itself. */
  constructor(
    peer: RosterEntry,
    transport: PeerTransport,
    log: ReplicatedLog,
    clock: Clock,
    onDown: DownListener,
    options: PeerLinkOptions,
  ) {
    this.peer = peer;
    this.#log = log;
    this.#clock = clock;
    this.#onDown = onDown;
    this.#maxMessageBytes = options.maxMessageBytes;
    this.#connectTimer = clock.after(
      CONNECT_MS,
      () => this.#down(new Error(`no answer within ${CONNECT_MS} ms`)),
    );
    this.#stream = transport.connect(peer, this);
  }

  /** Resolves when the link is closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Whether calls may be passed on. */
  get isUsable(): boolean {
    return this.#state === "open" && this.#silentTicks < SUSPECT_TICKS;
  }

  /** Whether the other side has ever been heard. */
  get wasOpen(): boolean {
    return this.#wasOpen;
  }

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Whether too much waits for answers already. */
  get isFull(): boolean {
    return this.#outstanding.size >= MAX_OUTSTANDING ||
      this.#outstandingBytes >= MAX_OUTSTANDING_BYTES;
  }

  /** Whether a call fits into a message; ids and lengths included. */
  fits(call: ForwardedCall): boolean {
    return sizeForwardedCall(call) + CALL_OVERHEAD_BYTES <=
      this.#maxMessageBytes;
  }

  /**
   * Passes a call on, over a link that is usable. Resolves with its answer when what it tells of is applied here, or
   * with undefined if it was surely not done. Rejects with "possibly due to connection lost" if that is not known.
   */
  ask(call: ForwardedCall): Promise<ForwardedAnswer | undefined> {
    const id = ++this.#lastId;
    const bytes = sizeForwardedCall(call) + CALL_OVERHEAD_BYTES;
    if (this.#batchBytes + bytes > this.#maxMessageBytes) this.#flush();
    call.id = id;
    this.#batch.push(call);
    this.#batchBytes += bytes;
    this.#outstandingBytes += bytes;
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      setImmediate(() => {
        this.#isFlushing = false;
        this.#flush();
      });
    }
    return new Promise((resolve, reject) => {
      this.#outstanding.set(id, { bytes, resolve, reject });
      this.#ticker ??= this.#clock.every(TICK_MS, () => this.#tick());
    });
  }

  /** Ends the link when all that was passed on is answered. */
  retire(): void {
    if (this.#state === "closed") return;
    this.#state = "retiring";
    this.#connectTimer.cancel();
    this.#closeIfDone();
  }

  /** Ends the link now. */
  close(): void {
    this.#end();
  }

  onAnswers({ seq, answers, batches }: ForwardAnswers): void {
    if (this.#state === "closed") return;
    for (const batch of batches) this.#log.offer(batch);
    if (this.#state === "connecting") {
      this.#state = "open";
      this.#wasOpen = true;
      this.#connectTimer.cancel();
    }
    this.#silentTicks = 0;
    const answered: (() => void)[] = [];
    for (const answer of answers) {
      const waiting = this.#take(answer.id);
      if (waiting === undefined) continue;
      if (answer.refused) waiting.resolve(undefined);
      else answered.push(() => waiting.resolve(answer));
    }
    if (answered.length > 0) this.#whenApplied(seq, answered);
    this.#closeIfDone();
  }

  onClose(error: Error | undefined): void {
    this.#down(error);
  }

  /** Who is answered reads its own writes, here too. */
  #whenApplied(seq: number, tell: readonly (() => void)[]): void {
    const tellAll = () => {
      for (const each of tell) each();
    };
    if (this.#log.seq >= seq) return tellAll();
    let isTold = false;
    const once = () => {
      if (isTold) return;
      isTold = true;
      timer.cancel();
      tellAll();
    };
    const timer = this.#clock.after(MAX_CATCH_UP_MS, once);
    // If it cannot be read, whoever reads next is told.
    this.#log.reached(seq).then(once, once);
  }

  #flush(): void {
    if (this.#batch.length === 0 || this.#state === "closed") return;
    const calls = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#stream.send(newForwardRequests({ seq: this.#log.seq, calls }));
  }

  #tick(): void {
    this.#silentTicks++;
    if (this.#silentTicks >= DOWN_TICKS) {
      this.#down(new Error(`silent for ${DOWN_TICKS * TICK_MS} ms`));
    }
  }

  #take(id: number): Outstanding | undefined {
    const waiting = this.#outstanding.get(id);
    if (waiting === undefined) return undefined;
    this.#outstanding.delete(id);
    this.#outstandingBytes -= waiting.bytes;
    if (this.#outstanding.size === 0) {
      this.#ticker?.cancel();
      this.#ticker = undefined;
      this.#silentTicks = 0;
    }
    return waiting;
  }

  /** Nothing that waits was made. */
  #giveBack(): void {
    for (const id of [...this.#outstanding.keys()]) {
      this.#take(id)?.resolve(undefined);
    }
  }

  #closeIfDone(): void {
    if (this.#state === "retiring" && this.#outstanding.size === 0) this.#end();
  }

  #down(error: Error | undefined): void {
    if (this.#state === "closed") return;
    if (error === undefined) this.#giveBack();
    this.#end();
    this.#onDown(this, error);
  }

  #end(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#connectTimer.cancel();
    this.#stream.close();
    for (const { id } of this.#batch) this.#take(id)?.resolve(undefined);
    this.#batch = [];
    for (const id of [...this.#outstanding.keys()]) {
      this.#take(id)?.reject(new DomainError("timeoutConnectionLost"));
    }
    this.#closed.resolve();
  }
}

interface Outstanding {
  readonly bytes: number;
  readonly resolve: (answer: ForwardedAnswer | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** The id, which is chosen later, a tag and a length; and the message's own `seq`. */
const CALL_OVERHEAD_BYTES = 32;
