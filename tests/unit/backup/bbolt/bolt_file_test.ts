import assert from "node:assert/strict";
import { BackupError } from "../../../../src/backup/backup_error.ts";
import { BoltFile } from "../../../../src/backup/bbolt/bolt_file.ts";
import { text } from "../../../../src/base/bytes.ts";
import { readEtcdSnapshot } from "../../../support/etcd_snapshot.ts";
import { Random, seeds } from "../../../support/random.ts";

const SNAPSHOT = await readEtcdSnapshot();
const PAGE_BYTES = 4096;
const BUCKETS = ["key", "meta", "lease", "auth", "authUsers", "authRoles"];

/** Calls `act` with a file that holds `bytes`. */
function withFile<T>(bytes: Uint8Array, act: (path: string) => T): T {
  const path = Deno.makeTempFileSync({ prefix: "stele-bolt-" });
  try {
    Deno.writeFileSync(path, bytes);
    return act(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** All entries of the file's buckets. */
function readAll(path: string): [bucket: string, key: string, bytes: number][] {
  using file = BoltFile.open(path);
  return BUCKETS.flatMap((bucket) =>
    [...file.entries(bucket)].map((
      { key, value },
    ): [string, string, number] => [bucket, text(key), value.length])
  );
}

Deno.test("BoltFile reads the buckets of etcd, in the order of their keys", () =>
  withFile(SNAPSHOT, (path) => {
    const all = readAll(path);
    const names = (bucket: string) =>
      all.filter(([of]) => of === bucket).map(([, key]) => key);
    assert.deepEqual(names("authUsers"), ["alice", "root"]);
    assert.deepEqual(names("authRoles"), ["r"]);
    assert.deepEqual(names("auth"), ["authEnabled", "authRevision"]);
    assert.equal(names("lease").length, 1);
    assert.equal(names("key").length, 38);
    // One that takes more than a page.
    assert.ok(all.some(([, , bytes]) => bytes > 20_000));
  }));

Deno.test("BoltFile has nothing in a bucket that there is not", () =>
  withFile(SNAPSHOT, (path) => {
    using file = BoltFile.open(path);
    assert.deepEqual([...file.entries("none")], []);
    assert.deepEqual([...file.entries("alarm")], []);
  }));

for (const meta of [0, 1]) {
  Deno.test(`BoltFile does without meta page ${meta}, or says that it cannot`, () => {
    const damaged = SNAPSHOT.slice();
    damaged.fill(0, meta * PAGE_BYTES, (meta + 1) * PAGE_BYTES);
    // The other meta is that of the transaction before: its pages may be gone, but are never mistaken.
    withFile(damaged, (path) => {
      try {
        assert.ok(readAll(path).length > 0);
      } catch (error) {
        assert.ok(error instanceof BackupError);
      }
    });
  });
}

Deno.test("BoltFile refuses a file without a whole meta page", () => {
  const damaged = SNAPSHOT.slice();
  for (const meta of [0, 1]) damaged[meta * PAGE_BYTES + 40]! ^= 1;
  withFile(
    damaged,
    (path) =>
      assert.throws(() => BoltFile.open(path), /neither meta page is whole/),
  );
  withFile(
    SNAPSHOT.subarray(0, 50),
    (path) => assert.throws(() => BoltFile.open(path), BackupError),
  );
});

Deno.test("BoltFile refuses a file that was cut off", () =>
  withFile(
    SNAPSHOT.subarray(0, 4 * PAGE_BYTES),
    (path) => assert.throws(() => readAll(path), BackupError),
  ));

Deno.test("BoltFile survives any damage: it reads on or throws BackupError", () => {
  const [seed] = seeds(1) as [number];
  const random = new Random(seed);
  for (let i = 0; i < 400; i++) {
    const damaged = SNAPSHOT.slice();
    // Page headers and elements are at the beginning of a page.
    const page = 2 + random.int(Math.floor(SNAPSHOT.length / PAGE_BYTES) - 2);
    const at = page * PAGE_BYTES + random.int(64);
    damaged[at] = random.int(256);
    withFile(damaged, (path) => {
      try {
        readAll(path);
      } catch (error) {
        assert.ok(error instanceof BackupError, `seed ${seed}: ${error}`);
      }
    });
  }
});
