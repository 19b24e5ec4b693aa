import { ConnectionError } from "./errors.ts";
import { ErrorCode } from "./frame.ts";

/**
 * Ends a connection whose peer sends a kind of frame too often: more than `limit` in a window of time, not counting
 * `perAnswer` for each answer that we gave meanwhile (a peer that is busy may send more).
 */
export class FloodGuard {
  readonly #what: string;
  readonly #limit: number;
  readonly #perAnswer: number;
  readonly #windowMs: number;
  #count = 0;
  #windowEndMs = -Infinity;
  #answersBefore = 0;

  /** `what` goes into the GOAWAY: "too many PING frames". */
  constructor(
    what: string,
    options: { limit: number; perAnswer: number; windowMs: number },
  ) {
    this.#what = what;
    this.#limit = options.limit;
    this.#perAnswer = options.perAnswer;
    this.#windowMs = options.windowMs;
  }

  /** Counts one. `answers` is a number that grows with each answer. */
  count(nowMs: number, answers: number): void {
    if (nowMs >= this.#windowEndMs) {
      this.#windowEndMs = nowMs + this.#windowMs;
      this.#answersBefore = answers;
      this.#count = 0;
    }
    this.#count++;
    if (
      this.#count >
        this.#limit + this.#perAnswer * (answers - this.#answersBefore)
    ) {
      throw new ConnectionError(
        ErrorCode.EnhanceYourCalm,
        `too many ${this.#what}`,
      );
    }
  }
}
