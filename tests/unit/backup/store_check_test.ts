import assert from "node:assert/strict";
import { checkDataDir, checkStore } from "../../../src/backup/store_check.ts";
import { OfflineDir } from "../../../src/backend/driver/sqlite/offline_dir.ts";
import { SqliteBackend } from "../../../src/backend/driver/sqlite/sqlite_backend.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { batchOf, makeBatch } from "../../support/batches.ts";
import {
  compactChange,
  makeOfflineStore,
} from "../../support/offline_store.ts";

const COMPACT = (revision: number) =>
  `INSERT INTO stele_meta VALUES (CAST('compact_revision' AS BLOB), CAST('${revision}' AS BLOB))`;

Deno.test("checkStore() finds nothing wrong with a sound store, and says what is in it", async () => {
  await using store = await makeOfflineStore();
  const report = await store.check();
  assert.deepEqual(report.violations, []);
  assert.equal(report.revision, 7);
  assert.equal(report.compactRevision, -1);
  assert.equal(report.rows, 8);
  assert.equal(report.batches, 6);
  assert.equal(report.keys, 4);
  assert.equal(report.leases, 1);
  assert.equal(report.leftoverRows, 0);
});

Deno.test("checkStore() finds nothing wrong with an empty store", async () => {
  const dir = await Deno.makeTempDir({ prefix: "stele-offline-" });
  const backend = new SqliteBackend({ dir }, new SystemClock());
  await backend.open();
  await backend.close();
  {
    using directory = OfflineDir.open(dir);
    const report = await checkStore(directory.file);
    assert.deepEqual(report.violations, []);
    assert.equal(report.keys, 0);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("checkStore() takes a key that one transaction put, deleted and made anew", async () => {
  const dir = await Deno.makeTempDir({ prefix: "stele-offline-" });
  const backend = new SqliteBackend({ dir }, new SystemClock());
  const { revision } = await backend.open();
  const key = utf8("a");
  const put = { value: key, createRev: 2, version: 1, lease: 0n };
  await backend.append(batchOf({ seq: 1, afterRev: revision }, [
    { rev: 2, sub: 0, key, put },
    { rev: 2, sub: 1, key },
    { rev: 2, sub: 2, key, put },
  ]));
  await backend.close();
  const report = await checkDataDir(dir);
  assert.deepEqual([report.violations, report.keys], [[], 1]);
  await Deno.remove(dir, { recursive: true });
});

const COMPACTIONS: readonly [compactRevision: number, leftover: number][] = [
  [2, 0],
  // Revision 3 takes the place of a's first version; b's tombstone at 5 is kept for those who read there.
  [3, 1],
  [5, 2],
  [6, 3],
  [7, 4],
];

for (const [compactRevision, leftover] of COMPACTIONS) {
  Deno.test(`checkStore() takes a store compacted at ${compactRevision}, with its rows and without`, async () => {
    await using store = await makeOfflineStore([
      compactChange(compactRevision),
    ]);
    const before = await store.check();
    assert.deepEqual(before.violations, []);
    assert.equal(before.leftoverRows, leftover);
    const keep =
      `SELECT max(rev) FROM stele_kv AS other WHERE other.key = stele_kv.key AND rev <= ${compactRevision}`;
    const gone =
      `rev < ${compactRevision} AND (rev <> (${keep}) OR deleted = 1)`;
    store.damage(
      `UPDATE stele_removed SET sum =
         (SELECT coalesce(sum(crc + 1), 0) FROM stele_kv WHERE ${gone})`,
      `DELETE FROM stele_kv WHERE ${gone}`,
    );
    const after = await store.check();
    assert.deepEqual(after.violations, []);
    assert.equal(after.leftoverRows, 0);
    assert.equal(after.hash, before.hash);
    assert.equal(after.keys, before.keys);
  });
}

/** What is done to the store, and the violations that this is. */
const DAMAGES: readonly [name: string, sql: string[], codes: string[]][] = [
  ["a deleted row", ["DELETE FROM stele_kv WHERE rev = 3"], [
    "revision-missing",
    "key-history",
  ]],
  ["several deleted revisions", ["DELETE FROM stele_kv WHERE rev IN (3, 4)"], [
    "revision-missing",
    "key-history",
  ]],
  ["a deleted newest row", ["DELETE FROM stele_kv WHERE rev = 7"], [
    "revision-missing",
  ]],
  ["a deleted first row of a revision", [
    "DELETE FROM stele_kv WHERE rev = 6 AND sub = 0",
  ], ["sub-revision-gap"]],
  ["a tombstone that is gone", ["DELETE FROM stele_kv WHERE rev = 5"], [
    "revision-missing",
    "key-history",
  ]],
  ["a wrong version", ["UPDATE stele_kv SET version = 5 WHERE rev = 7"], [
    "key-history",
  ]],
  ["a wrong create revision", [
    "UPDATE stele_kv SET create_rev = 3 WHERE rev = 7",
  ], ["key-history"]],
  ["a version that cannot be", [
    "UPDATE stele_kv SET version = 0 WHERE rev = 7",
  ], [
    "row-malformed",
    "key-history",
  ]],
  ["a version beyond all numbers", [
    "UPDATE stele_kv SET version = 9223372036854775807 WHERE rev = 7",
  ], ["row-malformed", "key-history"]],
  ["a tombstone with a value", [
    "UPDATE stele_kv SET value = x'00' WHERE rev = 5",
  ], ["row-malformed"]],
  ["a deleted flag that is none", [
    "UPDATE stele_kv SET deleted = 2 WHERE rev = 4",
  ], ["row-malformed", "key-history"]],
  ["a tombstone of no key", [
    "UPDATE stele_kv SET deleted = 1, value = x'', version = 0, create_rev = 0, lease = 0 WHERE rev = 4",
  ], ["key-history"]],
  ["an empty key", ["UPDATE stele_kv SET key = x'' WHERE rev = 4"], [
    "row-malformed",
  ]],
  ["another key", ["UPDATE stele_kv SET key = x'7a' WHERE rev = 3"], [
    "key-history",
    "key-history",
  ]],
  ["another value", ["UPDATE stele_kv SET value = x'00' WHERE rev = 7"], [
    "checksum",
  ]],
  ["another time of a batch", [
    "UPDATE stele_batch SET time_ms = time_ms + 1 WHERE seq = 3",
  ], ["checksum"]],
  ["state that nobody wrote", [
    "INSERT INTO stele_auth VALUES (x'00', x'00')",
  ], ["checksum"]],
  ["another sum of what is gone", ["UPDATE stele_removed SET sum = 1"], [
    "checksum",
  ]],
  ["a row beyond the log", [
    "INSERT INTO stele_kv VALUES (8, 0, x'7a', x'', 8, 1, 0, 0, 0)",
  ], ["revision-beyond-log"]],
  ["a revision that is too small", [
    "UPDATE stele_kv SET rev = 1 WHERE rev = 7",
  ], ["row-malformed", "revision-missing", "key-history", "key-history"]],
  ["a missing batch", ["DELETE FROM stele_batch WHERE seq = 3"], ["batch-gap"]],
  ["a missing first batch but one", ["DELETE FROM stele_batch WHERE seq = 2"], [
    "batch-gap",
  ]],
  ["a missing newest batch", ["DELETE FROM stele_batch WHERE seq = 6"], [
    "log-cut",
    "revision-beyond-log",
  ]],
  ["no batches", ["DELETE FROM stele_batch"], [
    "log-cut",
    "log-missing",
    "revision-beyond-log",
  ]],
  ["a batch that begins too late", [
    "UPDATE stele_batch SET first_rev = 5 WHERE seq = 3",
  ], ["batch-revisions", "batch-revisions"]],
  ["a batch with a short id", [
    "UPDATE stele_batch SET id = x'00' WHERE seq = 3",
  ], ["batch-malformed"]],
  ["a batch whose state is no state", [
    "UPDATE stele_batch SET ops = x'ff' WHERE seq = 3",
  ], ["batch-malformed"]],
  ["a lease that is gone", ["DELETE FROM stele_lease"], [
    "state-mismatch",
    "lease-missing",
  ]],
  ["another lease", ["UPDATE stele_kv SET lease = 5 WHERE rev = 4"], [
    "lease-missing",
  ]],
  ["a lease whose record changed", ["UPDATE stele_lease SET value = x'00'"], [
    "state-mismatch",
  ]],
  ["a compact revision beyond the log", [COMPACT(8)], ["compact-revision"]],
  ["a compact revision that is no number", [
    "INSERT INTO stele_meta VALUES (CAST('compact_revision' AS BLOB), x'78')",
  ], ["compact-revision"]],
  ["a key's base gone after a compaction", [
    COMPACT(3),
    "DELETE FROM stele_kv WHERE rev <= 3 AND key = x'61'",
  ], ["key-history"]],
];

for (const [name, sql, codes] of DAMAGES) {
  Deno.test(`checkStore() finds ${name}`, async () => {
    await using store = await makeOfflineStore();
    store.damage(...sql);
    const { violations, violationCount } = await store.check();
    const found = violations.map(({ code }) => code);
    const unexpected = found.filter((code) => !codes.includes(code));
    for (const code of codes) {
      assert.ok((found as string[]).includes(code), `${found}`);
    }
    assert.deepEqual(unexpected, []);
    assert.equal(violationCount, violations.length);
  });
}

Deno.test("checkStore() finds a database that was cut off", async () => {
  await using store = await makeOfflineStore();
  const { size } = await Deno.stat(store.database);
  await Deno.truncate(store.database, size - 4096);
  const { violations } = await store.check();
  assert.ok(violations.some(({ code }) => code === "sqlite-integrity"));
});

Deno.test("checkStore() finds every page that is overwritten", async () => {
  await using store = await makeOfflineStore();
  const whole = await Deno.readFile(store.database);
  for (let page = 1; page < whole.length / 4096; page++) {
    const damaged = whole.slice();
    damaged.fill(0xa5, page * 4096, page * 4096 + 64);
    await Deno.writeFile(store.database, damaged);
    const { violationCount } = await store.check();
    assert.ok(violationCount > 0, `page ${page}`);
  }
});

Deno.test("checkStore() bounds what it lists, and counts the rest", async () => {
  await using store = await makeOfflineStore();
  const backend = new SqliteBackend({ dir: store.dir }, new SystemClock());
  const { seq, revision } = await backend.open();
  const rows = Array.from({ length: 1500 }, (_, sub) => ({
    rev: revision + 1,
    sub,
    key: new TextEncoder().encode(`t${sub}`),
  }));
  await backend.append(batchOf({ seq: seq + 1, afterRev: revision }, rows));
  await backend.close();
  const { violations, violationCount } = await store.check();
  assert.equal(violations.length, 1000);
  assert.equal(violationCount, 1500);
});

Deno.test("OfflineDir.open() refuses a directory that a server has, and leaves others as they were", async () => {
  await using store = await makeOfflineStore();
  const names = () =>
    [...Deno.readDirSync(store.dir)].map(({ name }) => name).sort();
  const before = names();
  await store.check();
  assert.deepEqual(names(), before);
  const backend = new SqliteBackend({ dir: store.dir }, new SystemClock());
  await backend.open();
  assert.throws(() => OfflineDir.open(store.dir), { kind: "locked" });
  await backend.close();
});

Deno.test("checkStore() finds damage in the middle of the log, behind which SQLite reads nothing", async () => {
  const dir = await Deno.makeTempDir({ prefix: "stele-offline-" });
  const crashed = await Deno.makeTempDir({ prefix: "stele-offline-" });
  const backend = new SqliteBackend({ dir }, new SystemClock());
  await backend.open();
  for (let seq = 1; seq <= 3; seq++) await backend.append(makeBatch(seq, seq));
  for (const name of ["stele.db", "stele.db-wal", "stele.db-mark"]) {
    await Deno.copyFile(`${dir}/${name}`, `${crashed}/${name}`);
  }
  await backend.close();
  assert.deepEqual((await checkDataDir(crashed)).violations, []);
  const log = await Deno.readFile(`${crashed}/stele.db-wal`);
  // A batch takes three pages or four.
  for (
    const [byte, codes, message] of [
      [log.length - 9000, ["log-cut"], /batch 3 was confirmed/],
      [
        log.length - 22_000,
        ["log-damaged", "log-cut"],
        /it is damaged at byte/,
      ],
      [1000, ["log-damaged", "log-cut"], /it is damaged at byte/],
    ] as const
  ) {
    const damaged = log.slice();
    damaged[byte]! ^= 1;
    await Deno.writeFile(`${crashed}/stele.db-wal`, damaged);
    const { violations } = await checkDataDir(crashed);
    assert.deepEqual(
      violations.map(({ code }) => code).slice(0, codes.length),
      codes,
    );
    assert.match(violations[0]!.message, message);
  }
  for (const path of [dir, crashed]) {
    await Deno.remove(path, { recursive: true });
  }
});

Deno.test("OfflineDir.open() reads the log that a crash left", async () => {
  await using store = await makeOfflineStore();
  const backend = new SqliteBackend({ dir: store.dir }, new SystemClock());
  const { seq, revision } = await backend.open();
  await backend.append(batchOf({ seq: seq + 1, afterRev: revision }, [
    { rev: 8, sub: 0, key: new TextEncoder().encode("c") },
  ]));
  const crashed = await Deno.makeTempDir({ prefix: "stele-offline-" });
  for (const name of ["stele.db", "stele.db-wal"]) {
    await Deno.copyFile(`${store.dir}/${name}`, `${crashed}/${name}`);
  }
  await backend.close();
  {
    using directory = OfflineDir.open(crashed);
    const report = await checkStore(directory.file);
    assert.deepEqual(report.violations, []);
    assert.equal(report.revision, 8);
    assert.equal(report.keys, 3);
  }
  const names = [...Deno.readDirSync(crashed)].map(({ name }) => name).sort();
  assert.deepEqual(names, ["stele.db", "stele.db-wal"]);
  await Deno.remove(crashed, { recursive: true });
});
