import { Code, StatusError } from "./status.ts";

/**
 * The memory that all requests together may take that have come in part, or whole but without their end. What one of
 * them takes is bounded by its own limit; without this, a client with many streams could have as much again for each.
 */
export class ReceiveBudget {
  #usedBytes = 0;

  constructor(readonly maxBytes: number) {}

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes `bytes`; throws `StatusError`, and nothing is taken, if that is too much. */
  take(bytes: number): void {
    if (this.#usedBytes + bytes > this.maxBytes) {
      throw new StatusError(
        Code.ResourceExhausted,
        "grpc: too many messages are being received at once",
      );
    }
    this.#usedBytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
