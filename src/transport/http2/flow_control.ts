/** Flow control of RFC 9113 §5.2 and §6.9. Send windows are plain numbers, since they can be negative and are read often. */

export const MAX_WINDOW_SIZE = 2 ** 31 - 1;
/** What both ends start with, the connection always and a stream before SETTINGS. */
export const INITIAL_WINDOW_SIZE = 65_535;

/**
 * What the peer may still send. It gets window back in steps of at least half the size: one WINDOW_UPDATE for many
 * small messages, and the sender of a large one never has to wait.
 */
export class ReceiveWindow {
  readonly #size: number;
  #available: number;
  /** Consumed, but not announced yet. */
  #released = 0;

  constructor(size: number) {
    this.#size = size;
    this.#available = size;
  }

  /** Accounts for a frame; false if the peer had no right to send it. `slack` widens the window for this question. */
  take(bytes: number, slack: number): boolean {
    if (bytes > this.#available + slack) return false;
    this.#available -= bytes;
    return true;
  }

  /** Gives `bytes` back. Returns the increment to announce now, or 0. */
  release(bytes: number): number {
    this.#released += bytes;
    const increment = this.#released;
    if (increment * 2 < this.#size || increment === 0) return 0;
    this.#available += increment;
    this.#released = 0;
    return increment;
  }
}
