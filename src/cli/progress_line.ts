import type { Process } from "./process.ts";

/** Between two versions of the line. */
const INTERVAL_MS = 100;
/** To the first column, and erase what follows (ECMA-48 EL). */
const CLEAR_LINE = "\r\x1b[K";

/** On a terminal, one line that is written over; elsewhere, nothing. */
export class ProgressLine implements Disposable {
  readonly #process: Process;
  readonly #isShown: boolean;
  #lastMs = -Infinity;
  #isWritten = false;

  constructor(process: Process) {
    this.#process = process;
    this.#isShown = process.isTerminal("stderr");
  }

  /** `done` of `total`, as a share; of an unknown total (0), only `text`. Quick enough for each step of a loop. */
  show(text: string, done = 0, total = 0): void {
    if (!this.#isShown) return;
    const now = performance.now();
    if (now - this.#lastMs < INTERVAL_MS && done > 0) return;
    this.#lastMs = now;
    this.#isWritten = true;
    const share = total > 0 ? ` ${Math.floor(100 * done / total)} %` : "";
    this.#process.stderr(`${CLEAR_LINE}${text}${share}`);
  }

  /** Erases the line. */
  [Symbol.dispose](): void {
    if (this.#isWritten) this.#process.stderr(CLEAR_LINE);
    this.#isWritten = false;
  }
}
