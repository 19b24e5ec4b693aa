import { type Backend, BackendError } from "../backend/backend.ts";
import { StoreFile } from "../backend/driver/sqlite/store_file.ts";
import {
  type CheckOptions,
  checkStore,
  type StoreReport,
} from "./store_check.ts";
import { loadedIndex } from "./loaded_index.ts";

/** Bytes that are copied at a time. */
const COPY_BYTES = 1 << 20;
/** Rows that a repair removes at a time, so that servers hardly notice. */
const REPAIR_ROWS = 500;

/**
 * Checks the store in a database server as `checkStore` does a file, as of one moment, while others write to it: by a
 * snapshot, which takes as much memory as the store is large, and room for a file of that size. Rejects with
 * `BackendError` if the database cannot be read, or has no store in it.
 */
export async function checkDatabase(
  backend: Backend,
  options: CheckOptions = {},
): Promise<StoreReport> {
  const { seq } = await backend.head();
  if (seq === 0) {
    throw new BackendError("Cannot check the database: no server has used it", {
      cure: "Look at the name of the database, and at --table-prefix.",
    });
  }
  const path = await Deno.makeTempFile({ prefix: "stele-check-" });
  try {
    await copySnapshot(backend, path);
    using file = StoreFile.open(path, { isImmutable: true });
    return await checkStore(file, options);
  } finally {
    await Deno.remove(path).catch(() => {});
  }
}

/**
 * Removes rows that nobody can reach any more, and that no server removed: it was stopped in the middle of that.
 * Returns how many. Servers may go on meanwhile: what is gone for one is gone for all.
 */
export async function removeLeftovers(backend: Backend): Promise<number> {
  const store = await loadedIndex(backend);
  let removed = 0;
  for (;;) {
    const rows = store.nextGarbage(REPAIR_ROWS);
    if (rows.length === 0) return removed;
    await backend.remove(rows);
    removed += rows.length;
  }
}

async function copySnapshot(backend: Backend, path: string): Promise<void> {
  const snapshot = await backend.snapshot();
  try {
    using file = await Deno.open(path, { write: true });
    for (let at = 0; at < snapshot.sizeBytes;) {
      const bytes = await snapshot.read(at, COPY_BYTES);
      if (bytes.length === 0) break;
      for (let done = 0; done < bytes.length;) {
        done += await file.write(bytes.subarray(done));
      }
      at += bytes.length;
    }
  } finally {
    await snapshot.close();
  }
}
