import { BackendError } from "../../backend.ts";
import { PAGE_BYTES } from "./wal_budget.ts";

/** https://sqlite.org/fileformat2.html#the_write_ahead_log */
const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;
const MAGIC = 0x377f0682;
/** In the place of a frame's number. */
const HEADER = -1;
const HEADER_SALT_AT = 16;
const SALT_BYTES = 8;

/**
 * Looks for damage in a write-ahead log before SQLite opens it, and throws if there is some.
 *
 * SQLite takes the first frame that does not match its checksum for the end of what was synced, as after a power
 * failure, and drops what lies behind it without a word. But each commit is synced before the next one is
 * written. So when whole frames of a later commit follow a frame that does not match, that frame was damaged after
 * it had been confirmed:
 *
 *   frame 1   2   3 commit   4   5 commit   6            4 is torn, 5 whole, and nothing behind: a power failure
 *   frame 1   2 x 3 commit   4 whole …                   4 was written after the sync of 1 to 3: damage
 *
 * A frame's checksum goes on from that of the frame before, which is stored there: whether a frame is whole can
 * be told without the frames in front of it. Damage in the newest commit, and a log that was cut off between two
 * commits, look like a power failure: `HighWaterMark` tells them from it, as long as the machine did not fail.
 */
export function checkWal(path: string): void {
  const bytes = readIfThere(path);
  if (bytes === undefined || bytes.length < HEADER_BYTES) return;
  const log = new WalBytes(bytes);
  const end = log.firstDamaged();
  if (end === undefined) return;
  const later = log.wholeBehindCommit(end);
  if (later === 0) return;
  const cut = end === HEADER ? 0 : HEADER_BYTES + end * FRAME_BYTES;
  throw new BackendError(
    `Cannot open ${JSON.stringify(path)}: it is damaged at byte ${cut}, ` +
      `and ${later} pages that were written later cannot be used`,
    {
      kind: "corrupt",
      cure:
        "restore the file or a snapshot; or, to go on with what was written before, cut it there " +
        `(truncate -s ${cut} FILE) and remove stele.db-mark`,
    },
  );
}

class WalBytes {
  readonly #view: DataView;
  /** Every machine that runs this is; a log may come from elsewhere, and its header says so. */
  #littleEndian = true;
  readonly #frames: number;
  /** Where the salts of this log are: in its header, or, if that is damaged, in its second frame. */
  readonly #saltAt: number;
  readonly #hasHeader: boolean;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#frames = Math.floor((bytes.length - HEADER_BYTES) / FRAME_BYTES);
    const magic = this.#view.getUint32(0);
    this.#littleEndian = magic !== MAGIC + 1;
    this.#hasHeader = (magic === MAGIC || magic === MAGIC + 1) &&
      this.#matches(24, [[0, 24]], [0, 0]);
    if (!this.#hasHeader) this.#littleEndian = true;
    this.#saltAt = this.#hasHeader ? HEADER_SALT_AT : this.#at(1) + 8;
  }

  /** The first frame of this log that does not match, or `HEADER`; undefined if the log ends with a whole frame. */
  firstDamaged(): number | undefined {
    // The header is synced before the first frame is written: alone it may be torn.
    if (!this.#hasHeader) return this.#frames < 2 ? undefined : HEADER;
    for (let frame = 0; frame < this.#frames; frame++) {
      if (!this.#isWhole(frame)) return frame;
    }
    return undefined;
  }

  /** Whole frames behind the first commit at or behind `damaged`, other than that frame; 0 if there is no such commit. */
  wholeBehindCommit(damaged: number): number {
    let isBehindCommit = damaged !== HEADER && this.#hasSalts(damaged) &&
      this.#isCommit(damaged);
    let whole = 0;
    for (let frame = damaged + 1; frame < this.#frames; frame++) {
      if (!this.#isWhole(frame)) continue;
      if (isBehindCommit) whole++;
      else if (this.#isCommit(frame)) isBehindCommit = true;
    }
    return whole;
  }

  /** Goes on from the checksum that is stored in the frame before. */
  #isWhole(frame: number): boolean {
    if (!this.#hasSalts(frame)) return false;
    const at = this.#at(frame);
    const before = frame === 0 ? 24 : this.#at(frame - 1) + 16;
    const seed: [number, number] = [
      this.#view.getUint32(before),
      this.#view.getUint32(before + 4),
    ];
    const page = at + FRAME_HEADER_BYTES;
    return this.#matches(at + 16, [
      [at, at + 8],
      [page, page + PAGE_BYTES],
    ], seed);
  }

  /** Frames of an older log, which this one has not come to yet, have other salts. */
  #hasSalts(frame: number): boolean {
    const at = this.#at(frame) + 8;
    for (let i = 0; i < SALT_BYTES; i += 4) {
      const salt = this.#view.getUint32(this.#saltAt + i);
      if (this.#view.getUint32(at + i) !== salt) return false;
    }
    return true;
  }

  #isCommit(frame: number): boolean {
    return this.#view.getUint32(this.#at(frame) + 4) !== 0;
  }

  #at(frame: number): number {
    return HEADER_BYTES + frame * FRAME_BYTES;
  }

  /** Whether the checksum stored at `at` is that of the ranges. */
  #matches(
    at: number,
    ranges: readonly (readonly [number, number])[],
    seed: readonly [number, number],
  ): boolean {
    let [s0, s1] = seed;
    for (const [from, to] of ranges) {
      for (let i = from; i < to; i += 8) {
        s0 = (s0 + this.#view.getUint32(i, this.#littleEndian) + s1) | 0;
        s1 = (s1 + this.#view.getUint32(i + 4, this.#littleEndian) + s0) | 0;
      }
    }
    return s0 >>> 0 === this.#view.getUint32(at) &&
      s1 >>> 0 === this.#view.getUint32(at + 4);
  }
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
