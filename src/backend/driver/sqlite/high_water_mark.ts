import { crc32 } from "../../../base/crc32.ts";
import { BackendError } from "../../backend.ts";

/** The batch's number, the CRC-32 of that, and four bytes of nothing. */
const MARK_BYTES = 16;

const CUT_CURE =
  "put stele.db and stele.db-wal back as the server left them, or restore a snapshot; " +
  "or, to go on with what was written before, remove stele.db-mark";

/** For writing, without emptying it: the mark that is there holds until the first one is written over it. */
const OPEN_OR_CREATE = { write: true, create: true, mode: 0o600 };

/**
 * The number of the last batch that was confirmed, in a file beside the database. It tells a write-ahead log that was
 * removed or cut off, or a database that an older copy has taken the place of, from what a crash leaves.
 *
 * Written after each commit and never synced: one write into the kernel's cache, 2 µs, where a sync would double the
 * price of a batch. While the kernel lives the mark is exact, however the process ended; a power failure may leave an
 * older one, and then less is noticed.
 *
 * Invariant: never ahead of what was synced, since a batch is on the disk before it is marked.
 */
export class HighWaterMark {
  readonly #path: string;
  readonly #bytes = new Uint8Array(MARK_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #file: Deno.FsFile | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** The number in the file; undefined if there is none that can be read. */
  read(): number | undefined {
    let bytes: Uint8Array;
    try {
      bytes = Deno.readFileSync(this.#path);
    } catch {
      return undefined; // there is none, or it cannot be reached: it is an extra
    }
    if (bytes.length !== MARK_BYTES) return undefined;
    const view = new DataView(bytes.buffer);
    const seq = view.getFloat64(0);
    return view.getUint32(8) === crc32(bytes.subarray(0, 8)) ? seq : undefined;
  }

  /** Batches up to `seq` are on the disk. */
  raise(seq: number): void {
    this.#view.setFloat64(0, seq);
    this.#view.setUint32(8, crc32(this.#bytes.subarray(0, 8)));
    try {
      this.#file ??= Deno.openSync(this.#path, OPEN_OR_CREATE);
      this.#file.seekSync(0, Deno.SeekMode.Start);
      this.#file.writeSync(this.#bytes);
    } catch {
      // An older mark is a true one, too.
    }
  }

  /** Nothing is known to be on the disk from now on. */
  remove(): void {
    try {
      Deno.removeSync(this.#path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Throws if the log ends before the mark: something that was confirmed is missing. */
  check(lastSeq: number): void {
    const seq = this.read();
    if (seq === undefined || seq <= lastSeq) return;
    throw new BackendError(
      `Cannot open ${JSON.stringify(this.#path)}: ` +
        `batch ${seq} was confirmed, and the log ends at ${lastSeq}`,
      { kind: "corrupt", cure: CUT_CURE },
    );
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
