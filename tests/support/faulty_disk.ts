import { DatabaseSync } from "node:sqlite";

/** Extended result codes of SQLite, for what a disk does. */
export const DiskError = {
  Busy: 5,
  ReadOnly: 8,
  Corrupt: 11,
  Full: 13,
  CannotOpen: 14,
  Read: 266,
  Write: 778,
  Sync: 1034,
} as const;

/** One of the codes in `DiskError`. */
export type DiskError = typeof DiskError[keyof typeof DiskError];

/** A statement that fails. */
export interface Fault {
  /** A regular expression for its text; `OPEN` for the opening of the file. */
  readonly statement: string;
  /** `mistake`: not what a disk does, but what only a bug can. */
  readonly error: DiskError | "mistake";
  /** Whether it is done all the same. Default: false. */
  readonly isDone?: boolean;
}

/** In the place of a statement's text. */
export const OPEN = "open the file";

/** SQLite on a disk that fails when told to: each statement asks `faults` before it is run. */
export class FaultyDisk {
  /** How often the file was opened. */
  opened = 0;
  readonly #faults: () => readonly Fault[];

  constructor(faults: () => readonly Fault[]) {
    this.#faults = faults;
  }

  readonly open = (path: string): DatabaseSync => {
    this.#run(OPEN, () => {});
    this.opened++;
    const db = new DatabaseSync(path);
    const prepare = db.prepare.bind(db);
    db.prepare = (text: string) => {
      const statement = prepare(text);
      for (const call of ["run", "get", "all"] as const) {
        const original = statement[call].bind(statement) as () => never;
        statement[call] = (...parameters: []) =>
          this.#run(text, () => original(...parameters));
      }
      return statement;
    };
    return db;
  };

  #run<T>(text: string, work: () => T): T {
    const fault = this.#faults()
      .find(({ statement }) => new RegExp(statement).test(text));
    if (fault === undefined) return work();
    if (fault.isDone === true) work();
    throw errorOf(fault.error);
  }
}

function errorOf(error: Fault["error"]): Error {
  if (error === "mistake") return new TypeError("a mistake of ours");
  return Object.assign(new Error(MESSAGES[error]), {
    code: "ERR_SQLITE_ERROR",
    errcode: error,
  });
}

/** As SQLite has them. */
const MESSAGES: Readonly<Record<DiskError, string>> = {
  [DiskError.Busy]: "database is locked",
  [DiskError.ReadOnly]: "attempt to write a readonly database",
  [DiskError.Corrupt]: "database disk image is malformed",
  [DiskError.Full]: "database or disk is full",
  [DiskError.CannotOpen]: "unable to open database file",
  [DiskError.Read]: "disk I/O error",
  [DiskError.Write]: "disk I/O error",
  [DiskError.Sync]: "disk I/O error",
};
