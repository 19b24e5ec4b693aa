import { backup, DatabaseSync } from "node:sqlite";
import { INCREMENTAL_VACUUM, SELECT_HEAD, VACUUM_PAGES } from "./sql.ts";
import { execute, prepare } from "./statement.ts";

/** Pages that are copied between two looks at the mailbox: 256 KiB, about 0.5 ms. */
const COPY_SLICE_PAGES = 64;

/**
 * Slices after which the copy is synced, 4 MiB: `backup` syncs it in the end, which would hold up appends
 * for 140 ms with 200 MB of it in the page cache.
 */
const SYNC_SLICES = 16;

/** The copying connection's page cache in KiB; a copy reads every page once. */
const CACHE_KIB = 512;

/**
 * Copies the database as it is now into a file of its own, calling `between` after each slice.
 *
 * Its own connection holds a read transaction for the whole time: commits go on in the WAL and are not
 * copied, nor do they start the copy again. `VACUUM INTO` would do, but needs ATTACH, which Deno forbids
 * under restricted permissions; and the copy stays in this thread, since a second worker would need the
 * main thread to keep its write permission, and 10 MB while idle.
 * `backup` works synchronously; an error that `between` throws is thrown here.
 */
export async function copyDatabase(
  from: string,
  to: { path: string; between: () => void },
): Promise<void> {
  let failure: { error: unknown } | undefined;
  const guarded = () => {
    try {
      if (failure === undefined) to.between();
    } catch (error) {
      failure = { error };
    }
  };
  await backUp(from, to.path, guarded);
  finish(to.path, guarded);
  if (failure !== undefined) throw (failure as { error: unknown }).error;
}

async function backUp(
  from: string,
  path: string,
  between: () => void,
): Promise<void> {
  using file = Deno.openSync(path, {
    createNew: true,
    write: true,
    mode: 0o600,
  });
  const source = new DatabaseSync(from, { readOnly: true });
  let slices = 0;
  const progress = () => {
    if (++slices % SYNC_SLICES === 0) file.syncDataSync();
    between();
  };
  try {
    execute(source, `PRAGMA cache_size = -${CACHE_KIB}`);
    execute(source, "BEGIN");
    execute(source, SELECT_HEAD);
    await backup(source, path, { rate: COPY_SLICE_PAGES, progress });
  } finally {
    source.close();
  }
}

/** Makes the copy one file without a WAL, and gives back the pages that were free. */
function finish(path: string, between: () => void): void {
  const copy = new DatabaseSync(path);
  try {
    execute(copy, "PRAGMA synchronous = OFF");
    execute(copy, "PRAGMA journal_mode = DELETE");
    execute(copy, `PRAGMA cache_size = -${CACHE_KIB}`);
    const [pages] = prepare<[number]>(copy, "PRAGMA freelist_count").get()!;
    const vacuum = prepare<[]>(copy, INCREMENTAL_VACUUM);
    for (let left = pages; left > 0; left -= VACUUM_PAGES) {
      vacuum.all();
      between();
    }
  } finally {
    copy.close();
  }
}
