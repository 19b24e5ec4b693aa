import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import {
  type AppendedBatch,
  type ForwardAnswers,
  type ForwardedAnswer,
  type ForwardedCall,
  type ForwardRequests,
  newForwardAnswers,
  newForwardedAnswer,
} from "../pb/stelepb.ts";
import { STATUS } from "../rpc/errors.ts";
import type {
  MessageReceiver,
  MessageWriter,
} from "../transport/grpc/service.ts";
import type { CallOrigin } from "./passed_on_call.ts";
import type { ReplicatedLog } from "./peer_transport.ts";

/** How often the other side hears of us while it waits: four times until it gives up passing on. */
const PULSE_MS = 250;
/** Calls of one stream under evaluation; more are refused, and made where they came in. */
const MAX_UNDER_WAY = 10_000;
/** Of answers in one message, which may be exceeded by one; so many are sent without waiting for the end of the turn. */
const MESSAGE_BYTES = 1 << 20;
/** Of batches that wait to be told: beyond it they are not told, and the other side reads them from the database. */
const MAX_TOLD_BYTES = 16 << 20;
/** Sent and not read: what comes then waits here. */
const HOLD_ABOVE_BYTES = 4 << 20;
/** Answers that wait because the other side does not read: it has lost its way, and opens another stream. */
const MAX_HELD_BYTES = 256 << 20;
/** Time for the calls under way to be answered when the stream is to end. */
const FINISH_MS = 2000;
/** How long calls wait for the batches that their sender has applied already. */
const MAX_CATCH_UP_MS = 1000;

/** What a stream needs of its service. */
export interface ForwardHost {
  /** Whether calls are taken: this replica is the sequencer, and does not stop. */
  readonly isTaking: boolean;
  readonly log: ReplicatedLog;
  readonly clock: Clock;
  /** Makes a call of a sender that has applied the batch at `seq`; never rejects. */
  make(
    call: ForwardedCall,
    sender: { readonly origin: CallOrigin; readonly seq: number },
  ): Promise<ForwardedAnswer>;
  ended(stream: ForwardedStream): void;
}

/**
 * One stream from another replica, on the sequencer's side: makes the calls that come, all at once, and answers those
 * of one turn in one message. It speaks first, so that the other side knows that somebody is there, and gives a sign
 * of life while the other waits.
 *
 *   open --half-close, finish()--> finishing --all answered--> over
 *      \--cancelled, not read--> over: what is not evaluated yet is not made any more
 */
export class ForwardedStream
  implements MessageReceiver<ForwardRequests>, CallOrigin {
  readonly peer: string;
  readonly #out: MessageWriter<ForwardAnswers>;
  readonly #host: ForwardHost;
  readonly #abort = new AbortController();
  #underWay = 0;
  #batches: AppendedBatch[] = [];
  #batchBytes = 0;
  #answers: ForwardedAnswer[] = [];
  #answerBytes = 0;
  #isFlushing = false;
  #isFinishing = false;
  #isOver = false;
  #hasSpoken = false;
  #pulse: Timer | undefined = undefined;
  #finishTimer: Timer | undefined = undefined;
  #whenOver: (() => void)[] = [];

  constructor(
    peer: string,
    out: MessageWriter<ForwardAnswers>,
    host: ForwardHost,
  ) {
    this.peer = peer;
    this.#out = out;
    this.#host = host;
    out.onDrain = () => this.#flush();
    this.#send([]);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  onMessage({ seq, calls }: ForwardRequests): void {
    if (this.#isOver) return;
    this.#underWay += calls.length;
    this.#pulse ??= this.#host.clock.every(PULSE_MS, () => this.#beat());
    if (this.#underWay > MAX_UNDER_WAY) return this.#refuse(calls);
    if (this.#host.log.seq >= seq) return this.#makeAll(calls, seq);
    this.#applied(seq).then(
      () => this.#makeAll(calls, seq),
      () => this.#refuse(calls),
    );
  }

  onHalfClose(): void {
    void this.finish();
  }

  onCancel(): void {
    this.#end();
  }

  /** Ends the stream when all calls are answered, or have had their time; takes no more. */
  finish(): Promise<void> {
    this.#isFinishing = true;
    if (this.#isOver) return Promise.resolve();
    const over = new Promise<void>((resolve) => this.#whenOver.push(resolve));
    this.#finishTimer ??= this.#host.clock.after(FINISH_MS, () => {
      this.#out.end(STATUS.stopped);
      this.#end();
    });
    this.#endIfFinished();
    return over;
  }

  /** Tells the other side of a batch that is durable, unless it does not read. */
  tell(batch: AppendedBatch): void {
    const isFull = this.#batchBytes >= MAX_TOLD_BYTES ||
      this.#out.bufferedBytes > HOLD_ABOVE_BYTES;
    if (this.#isOver || isFull) return;
    this.#batches.push(batch);
    this.#batchBytes += batch.rows.length + batch.ops.length;
    this.#flushLater();
  }

  #makeAll(calls: readonly ForwardedCall[], seq: number): void {
    const isTaking = this.#host.isTaking && !this.#isFinishing;
    if (!isTaking || this.#isOver) return this.#refuse(calls);
    const sender = { origin: this, seq };
    for (const call of calls) {
      this.#host.make(call, sender).then((answer) => this.#answer(answer));
    }
  }

  /** They go back to where they came from. */
  #refuse(calls: readonly ForwardedCall[]): void {
    for (const { id } of calls) {
      this.#answer(newForwardedAnswer({ id, refused: true }));
    }
  }

  #answer(answer: ForwardedAnswer): void {
    this.#underWay--;
    if (this.#isOver) return;
    this.#answers.push(answer);
    this.#answerBytes += answer.response.length;
    if (this.#answerBytes >= MESSAGE_BYTES) return this.#flush();
    this.#flushLater();
  }

  #flushLater(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#isOver) return;
    while (
      this.#answers.length + this.#batches.length > 0 &&
      this.#out.bufferedBytes <= HOLD_ABOVE_BYTES
    ) {
      this.#send(this.#nextAnswers());
    }
    if (this.#answerBytes > MAX_HELD_BYTES) {
      this.#out.end(STATUS.tooManyRequests);
      return this.#end();
    }
    if (this.#underWay === 0 && this.#answers.length === 0) this.#rest();
    this.#endIfFinished();
  }

  #nextAnswers(): ForwardedAnswer[] {
    let bytes = 0;
    let count = 0;
    while (bytes < MESSAGE_BYTES && count < this.#answers.length) {
      bytes += this.#answers[count++]!.response.length;
    }
    this.#answerBytes -= bytes;
    return this.#answers.splice(0, count);
  }

  #send(answers: ForwardedAnswer[]): void {
    this.#hasSpoken = true;
    const batches = this.#batches;
    this.#batches = [];
    this.#batchBytes = 0;
    const { seq } = this.#host.log;
    this.#out.send(newForwardAnswers({ seq, answers, batches }));
  }

  #beat(): void {
    if (!this.#hasSpoken) this.#send([]);
    this.#hasSpoken = false;
  }

  #rest(): void {
    this.#pulse?.cancel();
    this.#pulse = undefined;
  }

  #endIfFinished(): void {
    const isDone = this.#underWay === 0 && this.#answers.length === 0;
    if (!this.#isFinishing || !isDone || this.#isOver) return;
    this.#out.end();
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#finishTimer?.cancel();
    this.#rest();
    this.#answers = [];
    this.#batches = [];
    this.#abort.abort();
    this.#host.ended(this);
    for (const resolve of this.#whenOver.splice(0)) resolve();
  }

  #applied(seq: number): Promise<void> {
    const { log, clock } = this.#host;
    return new Promise((resolve, reject) => {
      const timer = clock.after(
        MAX_CATCH_UP_MS,
        () => reject(new DomainError("timeout")),
      );
      log.reached(seq).then(resolve, reject).finally(() => timer.cancel());
    });
  }
}
