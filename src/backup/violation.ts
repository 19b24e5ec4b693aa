/** What can be wrong with a store; the codes never change. */
export type ViolationCode =
  /** SQLite finds its own file damaged. */
  | "sqlite-integrity"
  /** A row, a batch or all of them do not match their checksum. */
  | "checksum"
  /** Something could not be read at all. */
  | "unreadable"
  /** A column of a row holds what no server writes there. */
  | "row-malformed"
  /** A revision above the compact revision has no row. */
  | "revision-missing"
  /** A row's revision is above the newest batch's. */
  | "revision-beyond-log"
  /** A revision's rows are not numbered 0, 1, 2… */
  | "sub-revision-gap"
  /** The write-ahead log is damaged, and what lies behind the damage is lost. */
  | "log-damaged"
  /** The log ends before a batch that was confirmed. */
  | "log-cut"
  /** There are rows but no batches. */
  | "log-missing"
  | "batch-malformed"
  /** Sequence numbers are not consecutive. */
  | "batch-gap"
  /** A batch does not begin where the one before it ends. */
  | "batch-revisions"
  /** A key's version or create revision does not follow from the change before it. */
  | "key-history"
  /** A key is attached to a lease that there is not. */
  | "lease-missing"
  | "compact-revision"
  /** A table of state does not hold what the newest batches put there. */
  | "state-mismatch"
  /** What a server would load is not what the rows say. */
  | "index-mismatch";

export interface Violation {
  readonly code: ViolationCode;
  /** One line: where, and what. */
  readonly message: string;
}

/** After so many, further ones are only counted: a damaged store may have one for each row. */
const MAX_LISTED = 1000;

/** Gathers violations. */
export class Violations {
  readonly listed: Violation[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(code: ViolationCode, message: string): void {
    if (++this.#count <= MAX_LISTED) this.listed.push({ code, message });
  }
}
