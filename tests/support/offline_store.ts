import { DatabaseSync } from "node:sqlite";
import { SqliteBackend } from "../../src/backend/driver/sqlite/sqlite_backend.ts";
import { type StateChange, StateKind } from "../../src/backend/state_change.ts";
import {
  checkDataDir,
  type StoreReport,
} from "../../src/backup/store_check.ts";
import { SystemClock } from "../../src/base/clock.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { encodeLeaseRecord } from "../../src/lease/lease_record.ts";
import { leaseStateKey } from "../../src/mvcc/lease_book.ts";
import { batchOf, type Row } from "./batches.ts";

/** The lease that the fixture's key `leased` is attached to. */
export const LEASE = 0x7000_0000_0000_0001n;

/** What the fixture's store holds: revisions 2 to 7, the log in six batches. */
export const FIXTURE_ROWS: readonly (readonly Row[])[] = [
  [put(2, 0, "a", "a1", 2, 1), put(2, 1, "b", "b1", 2, 1)],
  [put(3, 0, "a", "a2", 2, 2)],
  [put(4, 0, "leased", "l1", 4, 1, LEASE)],
  [tombstone(5, 0, "b")],
  [put(6, 0, "b", "b2", 6, 1), put(6, 1, "c", "c1", 6, 1)],
  [put(7, 0, "a", "a3", 2, 3)],
];

/** A directory with a store that no server has open. */
export interface OfflineStore extends AsyncDisposable {
  readonly dir: string;
  readonly database: string;
  /** Changes the tables behind Stele's back. */
  damage(...statements: string[]): void;
  check(): Promise<StoreReport>;
}

/** Makes the fixture's store; `state` goes into its first batch, besides the lease. */
export async function makeOfflineStore(
  state: readonly StateChange[] = [],
): Promise<OfflineStore> {
  const dir = await Deno.makeTempDir({ prefix: "stele-offline-" });
  const backend = new SqliteBackend({ dir }, new SystemClock());
  let { seq, revision } = await backend.open();
  for (const rows of FIXTURE_ROWS) {
    const changes = seq === 0 ? [leaseChange(), ...state] : [];
    await backend.append(
      batchOf({ seq: ++seq, afterRev: revision }, rows, changes),
    );
    revision = rows.at(-1)!.rev;
  }
  await backend.close();
  const database = `${dir}/stele.db`;
  return {
    dir,
    database,
    damage(...statements) {
      const db = new DatabaseSync(database);
      for (const statement of statements) db.exec(statement);
      db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      db.close();
    },
    check: () => checkDataDir(dir),
    async [Symbol.asyncDispose]() {
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** The change that compacts at a revision. */
export function compactChange(revision: number): StateChange {
  return {
    kind: StateKind.Meta,
    key: utf8("compact_revision"),
    value: utf8(String(revision)),
  };
}

function leaseChange(): StateChange {
  return {
    kind: StateKind.Lease,
    key: leaseStateKey(LEASE),
    value: encodeLeaseRecord({
      ttlSeconds: 3600,
      deadlineWallMs: 4e12,
      isRenewing: false,
    }),
  };
}

function put(
  rev: number,
  sub: number,
  key: string,
  value: string,
  createRev: number,
  version: number,
  lease = 0n,
): Row {
  return {
    rev,
    sub,
    key: utf8(key),
    put: { value: utf8(value), createRev, version, lease },
  };
}

function tombstone(rev: number, sub: number, key: string): Row {
  return { rev, sub, key: utf8(key) };
}
