import { equalBytes } from "../../../base/bytes.ts";
import { BackendError } from "../../backend.ts";

/** A server is never behind by more and then appends without having read what it missed. */
const MAX_IDS = 64;

/**
 * The newest batches that were written or read, by their ids: a log that holds others in their places, or ends before
 * them, is not the one that it was.
 */
export class SeenBatches {
  readonly #ids = new Map<number, Uint8Array>();
  #last = 0;

  /** The last one. */
  get last(): number {
    return this.#last;
  }

  /** Undefined: it was not seen, or long ago. */
  idAt(seq: number): Uint8Array | undefined {
    return this.#ids.get(seq);
  }

  /** Throws if another one was seen in its place. */
  note({ seq, id }: { seq: number; id: Uint8Array }): void {
    const known = this.#ids.get(seq);
    if (known !== undefined && !equalBytes(known, id)) {
      throw wentBack(`holds another batch ${seq} than before`);
    }
    this.#last = Math.max(this.#last, seq);
    // What stands before the first batch has no id.
    if (known !== undefined || id.length === 0) return;
    this.#ids.set(seq, id);
    if (this.#ids.size <= MAX_IDS) return;
    const [oldest] = this.#ids.keys();
    this.#ids.delete(oldest!);
  }

  /** Throws if a log cannot end there that had this last batch before it was asked. */
  checkEnd(seq: number, lastBefore: number): void {
    if (seq >= lastBefore) return;
    throw wentBack(`ends at batch ${seq}, and batch ${lastBefore} was there`);
  }
}

/** The database is not the one that it was. */
export function wentBack(state: string): BackendError {
  return new BackendError(
    `Cannot go on: the database went back in time: its log ${state}`,
    {
      kind: "corrupt",
      cure:
        "It was restored from a backup, or a standby that lacked the last commits took over. " +
        "Restart every server to go on with what it holds now, and clients that hold revisions.",
    },
  );
}
