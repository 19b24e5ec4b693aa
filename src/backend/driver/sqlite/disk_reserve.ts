/**
 * Enough for some hundred deletes, and for the alarm that stops other writes; and for a checkpoint of a database that
 * is not under load (see `WalBudget`), after which the log's own space can be used again.
 */
export const RESERVE_BYTES = 6 << 20;

/** Room that must be left besides the reserve before it is taken again, so that a full disk does not flap. */
const MARGIN_BYTES = 4 << 20;

const CHUNK_BYTES = 1 << 20;

/**
 * A file that does nothing but take space, given back when the disk is full: deletes, compactions, and the alarm
 * that refuses other writes need some.
 *
 * A file, and not free pages inside the database: SQLite's log has to grow for a delete, and it is a file of its own.
 *
 *   held --release(): the disk is full--> released --hold(): there is room again--> held
 */
export class DiskReserve {
  readonly #path: string;
  readonly #bytes: number;
  #isHeld = false;

  /** `bytes`: default 6 MiB. */
  constructor(path: string, { bytes = RESERVE_BYTES } = {}) {
    this.#path = path;
    this.#bytes = bytes;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the space; false if there is not enough. Looks only at the file's size if it is there already. */
  hold(): boolean {
    if (this.#isHeld) return true;
    try {
      this.#isHeld = this.#isThere() || this.#take();
    } catch {
      // Whatever keeps us from writing here keeps SQLite from it, which says so with the next write.
      this.release();
    }
    return this.#isHeld;
  }

  /** Gives the space back. */
  release(): void {
    this.#isHeld = false;
    try {
      Deno.truncateSync(this.#path, 0);
    } catch {
      // It was never made, or cannot be reached: then it frees nothing, and the write fails as it would have.
    }
  }

  #isThere(): boolean {
    try {
      return Deno.statSync(this.#path).size === this.#bytes;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** Throws if there is no room. */
  #take(): boolean {
    using file = Deno.openSync(this.#path, {
      create: true,
      write: true,
      truncate: true,
      mode: 0o600,
    });
    const chunk = noise();
    for (let left = this.#bytes + MARGIN_BYTES; left > 0;) {
      left -= file.writeSync(chunk.subarray(0, Math.min(left, CHUNK_BYTES)));
    }
    file.truncateSync(this.#bytes);
    return true;
  }
}

/** Bytes that a file system cannot compress away. */
function noise(): Uint8Array {
  const bytes = new Uint8Array(CHUNK_BYTES);
  const most = 65_536; // of getRandomValues
  for (let at = 0; at < bytes.length; at += most) {
    crypto.getRandomValues(bytes.subarray(at, at + most));
  }
  return bytes;
}
