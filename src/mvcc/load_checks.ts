import { BackendError } from "../backend/backend.ts";
import {
  type StateChange,
  StateKind,
  type StateTable,
} from "../backend/state_change.ts";
import { text } from "../base/bytes.ts";
import type { RecordHead } from "../pb/key_value.ts";
import type { LeaseBook } from "./lease_book.ts";

/** The first write of an empty store makes revision 2. */
const FIRST_REVISION = 2;

const CURE =
  "run `stele check` to see what is damaged, and restore a snapshot with `stele snapshot restore`";

/** How a message calls the records of each kind. */
const NAMES: Readonly<Record<StateKind, string>> = {
  [StateKind.Meta]: "setting",
  [StateKind.Lease]: "lease",
  [StateKind.Auth]: "user or role",
  [StateKind.Alarm]: "alarm",
};

/**
 * What a store that is being loaded must be like, however its database came to be otherwise: a driver's checksums
 * tell of bytes that changed, these of what never was a store's state. Whatever is wrong is a `BackendError` of kind
 * `corrupt` that names the database and the cure; nothing is served.
 *
 * Rows come in (revision, sub-revision) order. Above the compact revision none may be missing:
 *
 *   compact revision 5:   3/0   5/0   6/0   6/1   7/0      fine: compaction leaves what it likes up to 5
 *                         3/0   5/0   6/1                  6/0 is missing
 *                         3/0   5/0   7/0                  revision 6 is missing
 *
 * Where others may compact meanwhile, each row is checked by itself only.
 */
export class LoadChecks {
  readonly #database: string;
  readonly #isExclusive: boolean;
  #rev = FIRST_REVISION - 1;
  #sub = 0;

  /** `database`: how messages call it. */
  constructor(database: string, { isExclusive }: { isExclusive: boolean }) {
    this.#database = database;
    this.#isExclusive = isExclusive;
  }

  /** Applies an entry of state, which may be one that no table can read. */
  apply({ kind, key, value }: StateChange, table: StateTable): void {
    try {
      table.apply(key, value);
    } catch (error) {
      const isBinary = kind === StateKind.Lease || kind === StateKind.Alarm;
      const name = isBinary ? key.toHex() : JSON.stringify(text(key));
      throw this.#corrupt(`${NAMES[kind]} ${name} cannot be read`, error);
    }
  }

  row(
    { modRev, createRev, version }: RecordHead,
    sub: number,
    compactRevision: number,
  ): void {
    const isTombstone = version === 0;
    if (isTombstone ? createRev !== 0 : createRev > modRev || createRev < 1) {
      throw this.#corrupt(
        `row ${modRev}/${sub} has version ${version} and create revision ${createRev}`,
      );
    }
    if (this.#isExclusive) this.#checkPlace(modRev, sub, compactRevision);
    this.#rev = modRev;
    this.#sub = sub;
  }

  /** All rows were seen. */
  end(lastRevision: number, compactRevision: number): void {
    if (compactRevision > lastRevision) {
      throw this.#corrupt(
        `it is compacted at revision ${compactRevision}, and its log ends at ${lastRevision}`,
      );
    }
    if (!this.#isExclusive) return;
    if (this.#rev > lastRevision) {
      throw this.#corrupt(
        `there is a row of revision ${this.#rev}, and its log ends at ${lastRevision}`,
      );
    }
    const seen = Math.max(this.#rev, compactRevision);
    if (seen < lastRevision) throw this.#missing(seen + 1);
  }

  /** Attaches a key to its lease, which may be one that there is not. */
  attach(lease: bigint, key: Uint8Array, leases: LeaseBook): void {
    if (!leases.has(lease)) {
      const id = BigInt.asUintN(64, lease).toString(16);
      throw this.#corrupt(
        `key ${
          JSON.stringify(text(key))
        } is attached to lease ${id}, which there is not`,
      );
    }
    leases.attach(lease, key);
  }

  #checkPlace(rev: number, sub: number, compactRevision: number): void {
    if (rev <= compactRevision) return;
    if (rev === this.#rev) {
      if (sub !== this.#sub + 1) throw this.#missing(rev);
      return;
    }
    const next = Math.max(this.#rev, compactRevision) + 1;
    if (rev !== next || sub !== 0) throw this.#missing(Math.min(rev, next));
  }

  #missing(rev: number): BackendError {
    return this.#corrupt(`rows of revision ${rev} are missing`);
  }

  #corrupt(what: string, cause?: unknown): BackendError {
    return new BackendError(`Cannot load ${this.#database}: ${what}`, {
      kind: "corrupt",
      cure: CURE,
      cause,
    });
  }
}
