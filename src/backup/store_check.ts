import { BackendError } from "../backend/backend.ts";
import { checksumProblem } from "../backend/driver/sqlite/checksum_check.ts";
import { FileBackend } from "../backend/driver/sqlite/file_backend.ts";
import { OfflineDir } from "../backend/driver/sqlite/offline_dir.ts";
import type { StoreFile } from "../backend/driver/sqlite/store_file.ts";
import { StateKind } from "../backend/state_change.ts";
import { hashKv } from "../mvcc/hash.ts";
import { leaseOfStateKey } from "../mvcc/lease_book.ts";
import { checkKey, type KeySummary, summarizeKeys } from "./key_check.ts";
import { loadedIndex } from "./loaded_index.ts";
import { checkLog } from "./log_check.ts";
import { checkRows } from "./row_check.ts";
import { compactRevisionOf } from "./snapshot_facts.ts";
import { type Violation, Violations } from "./violation.ts";

/** Rows and keys between two reports of progress. */
const PROGRESS_STEP = 10_000;

/** What a check goes through, in this order. */
export type CheckPhase = "file" | "rows" | "batches" | "keys" | "index";

/** What was found. */
export interface StoreReport {
  /** The first of them; `violationCount` has all. Empty: the store is sound. */
  readonly violations: readonly Violation[];
  readonly violationCount: number;
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  readonly batches: number;
  readonly rows: number;
  readonly leases: number;
  /** The rest is undefined if the rows were too damaged to go on. */
  readonly keys: number | undefined;
  /** As HashKV at `revision`; undefined if anything is wrong. */
  readonly hash: number | undefined;
  /** Rows that compaction has yet to remove: no fault, a server does that after its start. */
  readonly leftoverRows: number | undefined;
}

export interface CheckOptions {
  readonly onProgress?: (
    phase: CheckPhase,
    done: number,
    total: number,
  ) => void;
  /** The last batch that must be there. Default: whichever is the last. */
  readonly confirmedSeq?: number | undefined;
  /** What is known to be wrong already. */
  readonly logProblem?: string | undefined;
}

/**
 * `checkStore` for a data directory. Rejects with `BackendError` if it cannot be had: `locked` while a server
 * runs there. A file so damaged that it cannot be opened is a violation.
 */
export async function checkDataDir(
  path: string,
  options: CheckOptions = {},
): Promise<StoreReport> {
  let directory: OfflineDir;
  try {
    directory = OfflineDir.open(path);
  } catch (error) {
    if (!(error instanceof BackendError) || error.kind !== "corrupt") {
      throw error;
    }
    return unreadable(error.message);
  }
  try {
    const { file, confirmedSeq, logProblem } = directory;
    return await checkStore(file, { ...options, confirmedSeq, logProblem });
  } finally {
    directory[Symbol.dispose]();
  }
}

/**
 * Checks a store that no server has open: SQLite's file, each row, the log of batches, each key's history,
 * and that the state a server would build from them is the one that the rows describe.
 *
 * In a file of schema 1, whose rows have no checksums, it cannot find a byte of a value that changed on the disk.
 */
export async function checkStore(
  file: StoreFile,
  options: CheckOptions = {},
): Promise<StoreReport> {
  return await new StoreCheck(file, options).run();
}

class StoreCheck {
  readonly #file: StoreFile;
  readonly #options: CheckOptions;
  readonly #progress: NonNullable<CheckOptions["onProgress"]>;
  readonly #violations = new Violations();

  constructor(file: StoreFile, options: CheckOptions) {
    this.#file = file;
    this.#options = options;
    this.#progress = options.onProgress ?? (() => {});
  }

  async run(): Promise<StoreReport> {
    const violations = this.#violations;
    this.#progress("file", 0, 1);
    for (const problem of this.#file.integrityProblems()) {
      violations.add("sqlite-integrity", problem);
    }
    const { logProblem, confirmedSeq = 0 } = this.#options;
    if (logProblem !== undefined) violations.add("log-damaged", logProblem);
    const counts = { rows: 0, batches: 0 };
    const bounds = { compactRevision: -1, lastRevision: 1 };
    let leases: Set<bigint> = new Set();
    let summary: KeySummary | undefined;
    try {
      const facts = this.#file.facts();
      bounds.lastRevision = facts.revision;
      bounds.compactRevision = this.#compactRevision(facts.revision);
      counts.rows = facts.rows;
      if (facts.seq < confirmedSeq) {
        violations.add(
          "log-cut",
          `batch ${confirmedSeq} was confirmed, the log ends at ${facts.seq}`,
        );
      }
      if (facts.rows > 0 && facts.batches === 0) {
        violations.add("log-missing", `there are ${facts.rows} rows, no batch`);
      }
      checkRows(
        this.#file,
        bounds,
        violations,
        (n) => this.#step("rows", n, facts.rows),
      );
      this.#progress("batches", 0, facts.batches);
      counts.batches = checkLog(this.#file, violations);
      leases = new Set(
        this.#file.state(StateKind.Lease).map(({ key }) =>
          leaseOfStateKey(key)
        ),
      );
      summary = this.#checkKeys(bounds.compactRevision, leases, facts.rows);
      // What is damaged has been named by then, unless only its checksum tells.
      if (violations.count === 0) {
        const problem = checksumProblem(this.#file.db);
        if (problem !== undefined) violations.add("checksum", problem);
      }
      // An index of rows that cannot be would stop at an assertion, and say less.
      if (violations.count === 0) {
        await this.#checkIndex(bounds.compactRevision, summary);
      }
    } catch (error) {
      violations.add("unreadable", messageOf(error));
    }
    return {
      violations: violations.listed,
      violationCount: violations.count,
      revision: bounds.lastRevision,
      compactRevision: bounds.compactRevision,
      ...counts,
      leases: leases.size,
      keys: summary?.liveKeys,
      hash: violations.count === 0 ? summary?.hash : undefined,
      leftoverRows: summary?.leftoverRows,
    };
  }

  #compactRevision(lastRevision: number): number {
    const compactRevision = compactRevisionOf(this.#file);
    if (compactRevision <= lastRevision) return compactRevision;
    this.#violations.add(
      "compact-revision",
      Number.isNaN(compactRevision)
        ? "the compact revision is not a number"
        : `the compact revision is ${compactRevision}, the log ends at ${lastRevision}`,
    );
    return -1;
  }

  #checkKeys(
    compactRevision: number,
    leases: ReadonlySet<bigint>,
    rows: number,
  ): KeySummary {
    let done = 0;
    this.#progress("keys", 0, rows);
    return summarizeKeys(this.#file, new FileBackend(this.#file), {
      compactRevision,
      onKey: (versions) => {
        checkKey(versions, leases, this.#violations);
        const before = done;
        done += versions.leftover.length + versions.later.length + 1;
        if (
          Math.floor(before / PROGRESS_STEP) < Math.floor(done / PROGRESS_STEP)
        ) this.#progress("keys", Math.min(done, rows), rows);
      },
    });
  }

  /** Loads the store as a server would, and compares. */
  async #checkIndex(
    compactRevision: number,
    expected: KeySummary,
  ): Promise<void> {
    this.#progress("index", 0, 1);
    const backend = new FileBackend(this.#file);
    await backend.open();
    const store = await loadedIndex(backend);
    const { hash } = await hashKv(store, 0);
    const loaded = {
      "hash of all keys": [hash, expected.hash],
      "number of keys": [store.index.liveCount, expected.liveKeys],
      "compact revision": [store.compactRevision, compactRevision],
    };
    for (const [what, [inMemory, inRows]] of Object.entries(loaded)) {
      if (inMemory === inRows) continue;
      this.#violations.add(
        "index-mismatch",
        `${what}: ${inMemory} once loaded, ${inRows} by the rows`,
      );
    }
  }

  #step(phase: CheckPhase, done: number, total: number): void {
    if (done % PROGRESS_STEP === 0) this.#progress(phase, done, total);
  }
}

function unreadable(message: string): StoreReport {
  return {
    violations: [{ code: "sqlite-integrity", message }],
    violationCount: 1,
    revision: 0,
    compactRevision: -1,
    batches: 0,
    rows: 0,
    leases: 0,
    keys: undefined,
    hash: undefined,
    leftoverRows: undefined,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
