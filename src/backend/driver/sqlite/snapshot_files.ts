import { BackendError } from "../../backend.ts";
import { type DataDir, removeSnapshot } from "./data_dir.ts";
import type { SnapshotAnswer } from "./protocol.ts";
import { copyDatabase } from "./snapshot_copy.ts";

/** Each takes as much disk as the data in the store. */
const MAX_SNAPSHOTS = 4;

/** The temporary copies that are being read, and those that were promised. */
export class SnapshotFiles {
  readonly #dir: DataDir;
  readonly #open = new Map<number, { path: string; file: Deno.FsFile }>();
  #reserved = 0;
  #lastId = 0;

  constructor(dir: DataDir) {
    this.#dir = dir;
  }

  /** Promises a `copy`. */
  reserve(): void {
    if (this.#reserved + this.#open.size >= MAX_SNAPSHOTS) {
      throw new BackendError(
        `Cannot make a snapshot: ${MAX_SNAPSHOTS} others are being read already`,
      );
    }
    this.#reserved++;
  }

  /** Makes the promised copy; `between` is called again and again. */
  async copy(between: () => void): Promise<SnapshotAnswer> {
    const path = this.#dir.temporaryPath();
    try {
      await copyDatabase(this.#dir.databasePath, { path, between });
      const file = Deno.openSync(path, { read: true });
      const snapshot = ++this.#lastId;
      this.#open.set(snapshot, { path, file });
      return { snapshot, sizeBytes: file.statSync().size };
    } catch (error) {
      removeSnapshot(path);
      throw error;
    } finally {
      this.#reserved--;
    }
  }

  read(
    snapshot: number,
    offset: number,
    maxBytes: number,
  ): Uint8Array<ArrayBuffer> {
    const open = this.#open.get(snapshot);
    if (open === undefined) {
      throw new BackendError("Cannot read a snapshot: it is closed", {
        kind: "closed",
      });
    }
    open.file.seekSync(offset, Deno.SeekMode.Start);
    const left = Math.max(0, open.file.statSync().size - offset);
    const bytes = new Uint8Array(Math.min(left, maxBytes));
    let at = 0;
    while (at < bytes.length) {
      const n = open.file.readSync(bytes.subarray(at));
      if (n === null) {
        throw new BackendError("Cannot read a snapshot: its file was cut off", {
          kind: "corrupt",
        });
      }
      at += n;
    }
    return bytes;
  }

  /** Closing what is closed is fine. */
  close(snapshot: number): void {
    const open = this.#open.get(snapshot);
    if (open === undefined) return;
    this.#open.delete(snapshot);
    open.file.close();
    removeSnapshot(open.path);
  }

  closeAll(): void {
    for (const snapshot of [...this.#open.keys()]) this.close(snapshot);
  }
}
