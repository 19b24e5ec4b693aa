import { BackendError } from "../../backend.ts";

/**
 * The files of a store. Holding it means holding the exclusive right to write there: the lock is on an
 * open file, so the kernel drops it with the process, however that ends.
 */
export class DataDir {
  readonly databasePath: string;
  readonly walPath: string;
  readonly markPath: string;
  readonly reservePath: string;
  #lock: Deno.FsFile;
  #snapshots = 0;

  private constructor(readonly path: string, lock: Deno.FsFile) {
    this.databasePath = `${path}/stele.db`;
    this.walPath = `${this.databasePath}-wal`;
    this.markPath = `${this.databasePath}-mark`;
    this.reservePath = `${path}/stele.reserve`;
    this.#lock = lock;
  }

  /** Locks the directory, which exists, and clears away what a crash left there. */
  static open(path: string): DataDir {
    const lock = Deno.openSync(`${path}/stele.lock`, {
      create: true,
      write: true,
      mode: 0o600,
    });
    try {
      if (!lock.tryLockSync(true)) {
        throw new BackendError(
          `Cannot open ${
            JSON.stringify(path)
          }: it is locked by another process`,
          { kind: "locked", cure: LOCKED_CURE },
        );
      }
      for (const { name } of Deno.readDirSync(path)) {
        if (SNAPSHOT_NAME.test(name)) Deno.removeSync(`${path}/${name}`);
      }
    } catch (error) {
      lock.close();
      throw error;
    }
    return new DataDir(path, lock);
  }

  /** A fresh name for a file that is cleared away if a crash leaves it. */
  temporaryPath(): string {
    return `${this.path}/snapshot-${++this.#snapshots}.tmp`;
  }

  /** Whether the database's file is there, also if it is empty. */
  hasDatabase(): boolean {
    return identityOf(this.databasePath) !== GONE;
  }

  /** Bytes in the write-ahead log, 0 if there is none. */
  walBytes(): number {
    try {
      return Deno.statSync(this.walPath).size;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return 0;
      throw error;
    }
  }

  /** Tells the files that have these names now from others that take their place; they may be gone, too. */
  fileIdentities(): string {
    return [this.databasePath, this.walPath].map(identityOf).join();
  }

  /** Gives the lock back. */
  close(): void {
    this.#lock.close();
  }
}

const LOCKED_CURE =
  "stop the server that has it, or wait until it has ended; or use another --data-dir";

const GONE = "gone";

function identityOf(path: string): string {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}/${ino}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return GONE;
    throw error;
  }
}

/** Removes a temporary copy and what SQLite put beside it. */
export function removeSnapshot(path: string): void {
  for (const suffix of ["", "-journal", "-wal", "-shm"]) {
    try {
      Deno.removeSync(path + suffix);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

const SNAPSHOT_NAME = /^snapshot-\d+\.tmp(-journal|-wal|-shm)?$/;
