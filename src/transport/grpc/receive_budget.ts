/**
 * The memory that all messages that have come in part may take together. What one of them takes is bounded by its
 * own limit; without this, a client with many streams could have as much again for each.
 */
export class ReceiveBudget {
  #usedBytes = 0;

  constructor(readonly maxBytes: number) {}

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Takes `bytes`; false, and nothing is taken, if that is too much. */
  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.maxBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
