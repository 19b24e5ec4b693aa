import { BackendError } from "../../backend.ts";
import { HighWaterMark } from "./high_water_mark.ts";
import { toBackendError } from "./sqlite_error.ts";
import { StoreFile } from "./store_file.ts";
import { checkWal } from "./wal_check.ts";

/**
 * The data directory of a server that does not run, for reading. Holds the directory's lock, so that none
 * starts meanwhile. Leaves the directory as it was: a write-ahead log that a crash left is read, and stays.
 */
export class OfflineDir implements Disposable {
  readonly file: StoreFile;
  /** What is wrong with the write-ahead log: SQLite itself leaves out what is behind the damage, and says nothing. */
  readonly logProblem: string | undefined;
  /** The last batch that is known to have been on the disk; undefined if nothing is known. */
  readonly confirmedSeq: number | undefined;
  readonly #lock: Deno.FsFile | undefined;
  readonly #cleanUp: () => void;

  private constructor(
    path: string,
    { file, problem }: { file: StoreFile; problem: string | undefined },
    lock: Deno.FsFile | undefined,
    cleanUp: () => void,
  ) {
    this.file = file;
    this.logProblem = problem;
    this.confirmedSeq = new HighWaterMark(`${path}/stele.db-mark`).read();
    this.#lock = lock;
    this.#cleanUp = cleanUp;
  }

  /** Throws `BackendError`: `locked` while a server has the directory. */
  static open(path: string): OfflineDir {
    const lock = lockOf(path);
    try {
      const database = `${path}/stele.db`;
      const sharedMemory = `${database}-shm`;
      const hadSharedMemory = sizeOf(sharedMemory) !== undefined;
      // Without a log there is nothing but the file, and SQLite need not create anything beside it.
      const hasLog = (sizeOf(`${database}-wal`) ?? 0) > 0;
      if (sizeOf(database) === undefined) {
        throw new BackendError(
          `Cannot open ${JSON.stringify(path)}: there is no stele.db in it`,
        );
      }
      const problem = logProblem(`${database}-wal`);
      const file = openFile(database, !hasLog, problem);
      return new OfflineDir(path, { file, problem }, lock, () => {
        if (hasLog && !hadSharedMemory) removeIfThere(sharedMemory);
      });
    } catch (error) {
      lock?.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.file.close();
    this.#cleanUp();
    this.#lock?.close();
  }
}

/** Undefined if no server was ever started there. */
function lockOf(path: string): Deno.FsFile | undefined {
  let lock: Deno.FsFile;
  try {
    lock = Deno.openSync(`${path}/stele.lock`, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw toBackendError(`open ${JSON.stringify(path)}`, error) ?? error;
  }
  if (lock.tryLockSync(true)) return lock;
  lock.close();
  throw new BackendError(
    `Cannot open ${JSON.stringify(path)}: it is locked by another process`,
    { kind: "locked", cure: "stop the server first" },
  );
}

/** The tables themselves may be behind the damage in the log, too. */
function openFile(
  path: string,
  isImmutable: boolean,
  logProblem: string | undefined,
): StoreFile {
  try {
    return StoreFile.open(path, { isImmutable });
  } catch (error) {
    if (logProblem === undefined) throw error;
    throw new BackendError(logProblem, { kind: "corrupt", cause: error });
  }
}

function logProblem(path: string): string | undefined {
  try {
    checkWal(path);
    return undefined;
  } catch (error) {
    if (error instanceof BackendError) return error.message;
    throw toBackendError(`open ${JSON.stringify(path)}`, error) ?? error;
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw toBackendError(`open ${JSON.stringify(path)}`, error) ?? error;
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
