import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import {
  makeOfflineStore,
  type OfflineStore,
} from "../../support/offline_store.ts";
import { Random, seeds } from "../../support/random.ts";

const FLIPS = 60;
const TABLES = [
  "stele_batch",
  "stele_kv",
  "stele_removed",
  "stele_meta",
  "stele_lease",
  "stele_auth",
  "stele_alarm",
];

/** All that the tables hold, or the error that reading them gives. */
function contents(path: string): string {
  try {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      return JSON.stringify(
        TABLES.map((table) => db.prepare(`SELECT * FROM ${table}`).all()),
        (_, value) => value instanceof Uint8Array ? value.toHex() : value,
      );
    } finally {
      db.close();
    }
  } catch (error) {
    return String(error);
  }
}

for (const seed of seeds(2)) {
  Deno.test(`checkStore() finds every flipped bit that changes what the tables hold, seed ${seed}`, async () => {
    await using store = await makeOfflineStore();
    const random = new Random(seed);
    const whole = await Deno.readFile(store.database);
    const before = contents(store.database);
    let changes = 0;
    for (let i = 0; i < FLIPS; i++) {
      const bit = random.int(whole.length * 8);
      const damaged = whole.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      await Deno.writeFile(store.database, damaged);
      if (contents(store.database) === before) continue;
      changes++;
      assert.notEqual(
        await violationsOf(store),
        0,
        `STELE_SEED=${seed}: bit ${bit}`,
      );
    }
    assert.ok(changes > 0, "something was damaged");
  });
}

Deno.test("checkStore() finds a database that is cut off anywhere", async () => {
  await using store = await makeOfflineStore();
  const whole = await Deno.readFile(store.database);
  const before = contents(store.database);
  for (let bytes = 4095; bytes < whole.length; bytes += 4096) {
    await Deno.writeFile(store.database, whole.subarray(0, bytes));
    // A last page without rows ends in zeros, which is what SQLite takes for what is missing.
    if (contents(store.database) === before) continue;
    assert.notEqual(await violationsOf(store), 0, `${bytes} bytes`);
  }
  await Deno.writeFile(store.database, whole.subarray(0, 0));
  await assert.rejects(store.check(), { kind: "schema" });
});

/** Each changes what the server would serve, and leaves SQLite's own structure as it is. */
const PLANTED: readonly [name: string, ...sql: string[]][] = [
  [
    "two values that changed places",
    "UPDATE stele_kv SET value = CASE rev WHEN 3 THEN x'6133' ELSE x'6132' END WHERE rev IN (3, 7)",
  ],
  [
    "two rows that changed places, checksums and all",
    "UPDATE stele_kv SET rev = -rev WHERE rev IN (3, 7)",
    "UPDATE stele_kv SET rev = CASE rev WHEN -3 THEN 7 ELSE 3 END WHERE rev IN (-3, -7)",
  ],
  [
    "two keys that changed places",
    "UPDATE stele_kv SET key = CASE sub WHEN 0 THEN x'63' ELSE x'62' END WHERE rev = 6",
  ],
  [
    "a deleted row in the middle whose checksum was taken from the sum",
    "UPDATE stele_removed SET sum = sum + 1 + (SELECT crc FROM stele_kv WHERE rev = 4)",
    "DELETE FROM stele_kv WHERE rev = 4",
  ],
  [
    "a row that is there twice",
    "INSERT INTO stele_kv SELECT rev, sub + 1, key, value, create_rev, version, lease, deleted, crc FROM stele_kv WHERE rev = 7",
  ],
  [
    "a row's checksum",
    "UPDATE stele_kv SET crc = crc + 1 WHERE rev = 4",
  ],
  [
    "a row's checksum that is gone",
    "UPDATE stele_kv SET crc = -1 WHERE rev = 4",
  ],
  [
    "a batch's checksum",
    "UPDATE stele_batch SET crc = crc + 1 WHERE seq = 2",
  ],
  [
    "a batch's sum of rows",
    "UPDATE stele_batch SET rows_sum = rows_sum + 1 WHERE seq = 6",
  ],
  [
    "a batch's sum of state",
    "UPDATE stele_batch SET state_sum = state_sum + 1 WHERE seq = 6",
  ],
  [
    "a batch with another's number",
    "UPDATE stele_batch SET seq = 60 WHERE seq = 6",
  ],
  [
    "two batches that changed places",
    "UPDATE stele_batch SET seq = -seq WHERE seq IN (2, 4)",
    "UPDATE stele_batch SET seq = CASE seq WHEN -2 THEN 4 ELSE 2 END WHERE seq IN (-2, -4)",
  ],
  [
    "another end of a batch",
    "UPDATE stele_batch SET last_rev = 8 WHERE seq = 6",
  ],
  [
    "a lease that nobody granted",
    "INSERT INTO stele_lease SELECT x'0000000000000001', value FROM stele_lease",
  ],
  [
    "another lease of the same id",
    "UPDATE stele_lease SET value = CAST(substr(value, 1, 9) || x'01' || substr(value, 11) AS BLOB)",
  ],
  ["a lease that is gone", "DELETE FROM stele_lease"],
  [
    "a key without the lease that it has",
    "UPDATE stele_kv SET lease = 0 WHERE rev = 4",
  ],
  [
    "an alarm that nobody raised",
    "INSERT INTO stele_alarm VALUES (x'000000000000000101', x'00')",
  ],
  [
    "a compaction that nobody asked for",
    "INSERT INTO stele_meta VALUES (CAST('compact_revision' AS BLOB), CAST('4' AS BLOB))",
  ],
  [
    "the sum of what was removed, gone",
    "DELETE FROM stele_removed",
  ],
];

for (const [name, ...sql] of PLANTED) {
  Deno.test(`checkStore() finds ${name} planted in a sound store`, async () => {
    await using store = await makeOfflineStore();
    assert.equal(await violationsOf(store), 0);
    store.damage(...sql);
    assert.notEqual(await violationsOf(store), 0);
  });
}

async function violationsOf(store: OfflineStore): Promise<number> {
  return (await store.check()).violationCount;
}
