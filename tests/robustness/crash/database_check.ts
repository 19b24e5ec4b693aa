import { DatabaseSync } from "node:sqlite";
import { KeyHistory } from "../history/key_history.ts";
import type { LoggedRevision } from "../history/operation.ts";
import { readable } from "./hash_kv.ts";

interface BatchRow {
  readonly seq: number;
  readonly first_rev: number;
  readonly last_rev: number;
}

interface KvRow {
  readonly rev: number;
  readonly sub: number;
  readonly key: string;
  readonly value: string;
  readonly create_rev: number;
  readonly version: number;
  readonly lease: string;
  readonly deleted: number;
}

/**
 * What is wrong with the file of a stopped server: whether SQLite finds it whole, batches follow one another
 * without a gap, and its rows are those of the log: none that is not there, and all that can still be read.
 */
export function checkDatabase(
  dataDir: string,
  log: readonly LoggedRevision[],
  compactRevision: number,
): string[] {
  const db = new DatabaseSync(`${dataDir}/stele.db`, { readOnly: true });
  try {
    return [
      ...integrityViolations(db),
      ...batchViolations(db, log.at(-1)?.revision ?? 1),
      ...rowViolations(db, log, compactRevision),
    ];
  } finally {
    db.close();
  }
}

function integrityViolations(db: DatabaseSync): string[] {
  return db.prepare("PRAGMA integrity_check").all()
    .map((row) => `${row.integrity_check}`)
    .filter((text) => text !== "ok");
}

function batchViolations(db: DatabaseSync, revision: number): string[] {
  const batches = db
    .prepare("SELECT seq, first_rev, last_rev FROM stele_batch ORDER BY seq")
    .all() as unknown as BatchRow[];
  const violations: string[] = [];
  for (const [i, batch] of batches.entries()) {
    const before = batches[i - 1];
    if (before === undefined) continue;
    const follows = batch.seq === before.seq + 1 &&
      batch.first_rev === before.last_rev + 1 &&
      batch.last_rev >= before.last_rev;
    if (!follows) {
      violations.push(
        `batch ${JSON.stringify(batch)} after ${JSON.stringify(before)}`,
      );
    }
  }
  const last = batches.at(-1)?.last_rev;
  if (last !== revision) {
    violations.push(`the last batch ends at ${last}, the log at ${revision}`);
  }
  return violations;
}

function rowViolations(
  db: DatabaseSync,
  log: readonly LoggedRevision[],
  compactRevision: number,
): string[] {
  const rows = db.prepare(
    `SELECT rev, sub, CAST(key AS TEXT) AS key, CAST(value AS TEXT) AS value, create_rev, version,
            CAST(lease AS TEXT) AS lease, deleted FROM stele_kv`,
  ).all() as unknown as KvRow[];
  const byId = new Map(rows.map((row) => [`${row.rev}/${row.sub}`, row]));
  const violations: string[] = [];
  const keys = new KeyHistory(log);
  let matched = 0;
  for (const key of keys.keys()) {
    const versions = keys.versions(key);
    const needed = new Set(readable(versions, compactRevision));
    for (const version of versions) {
      const { revision, sub, kv } = version;
      const row = byId.get(`${revision}/${sub}`);
      if (row === undefined) {
        if (needed.has(version)) {
          violations.push(`row ${revision}/${sub} of "${key}" is missing`);
        }
        continue;
      }
      matched++;
      const isSame = kv === undefined
        ? row.key === key && row.deleted === 1
        : row.key === key && row.deleted === 0 && row.value === kv.value &&
          row.create_rev === kv.createRevision && row.version === kv.version &&
          row.lease === kv.lease;
      if (!isSame) {
        violations.push(`row ${revision}/${sub} is not what the log has`);
      }
    }
  }
  if (matched !== rows.length) {
    violations.push(`${rows.length - matched} rows are not in the log`);
  }
  return violations;
}
