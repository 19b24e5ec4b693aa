import assert from "node:assert/strict";
import { BackupError } from "../../../src/backup/backup_error.ts";
import { restoreSnapshot } from "../../../src/backup/restore.ts";
import { checkDataDir } from "../../../src/backup/store_check.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { readEtcdSnapshot } from "../../support/etcd_snapshot.ts";
import { Random, seeds } from "../../support/random.ts";

/** Restores `bytes` and calls `act` with the directory. */
async function withRestored(
  bytes: Uint8Array,
  options: { bumpRevision?: number; skipHashCheck?: boolean },
  act: (
    dataDir: string,
    restored: Awaited<ReturnType<typeof restoreSnapshot>>,
  ) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stele-import-" });
  try {
    await Deno.writeFile(`${dir}/etcd.db`, bytes);
    const dataDir = `${dir}/new`;
    const restored = await restoreSnapshot(`${dir}/etcd.db`, {
      dataDir,
      skipHashCheck: false,
      bumpRevision: 0,
      clock: new SystemClock(),
      ...options,
    });
    await act(dataDir, restored);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("importEtcd() makes a sound store with etcd's revisions", async () => {
  const snapshot = await readEtcdSnapshot();
  await withRestored(snapshot, {}, async (dataDir, restored) => {
    assert.equal(restored.revision, 66);
    assert.equal(restored.compactRevision, 40);
    const report = await checkDataDir(dataDir);
    assert.deepEqual(report.violations, []);
    assert.equal(report.rows, 38);
    assert.equal(report.keys, 13);
    assert.equal(report.leases, 1);
    assert.deepEqual(
      [...Deno.readDirSync(dataDir)].map(({ name }) => name).sort(),
      ["stele.db", "stele.lock"],
    );
  });
});

Deno.test("importEtcd() raises the revision, and compacts there", async () => {
  const snapshot = await readEtcdSnapshot();
  const options = { bumpRevision: 1000 };
  await withRestored(snapshot, options, async (dataDir, restored) => {
    assert.equal(restored.revision, 1066);
    assert.equal(restored.compactRevision, 1066);
    const report = await checkDataDir(dataDir);
    assert.deepEqual(report.violations, []);
    assert.equal(report.keys, 13);
  });
});

Deno.test("importEtcd() is told of damage by the checksum", async () => {
  const snapshot = await readEtcdSnapshot();
  snapshot[20_000]! ^= 1;
  await assert.rejects(
    withRestored(snapshot, {}, () => Promise.resolve()),
    /its SHA-256 is not the one at its end/,
  );
});

Deno.test("importEtcd() takes a copied member/snap/db, if told to skip the checksum", async () => {
  const snapshot = (await readEtcdSnapshot()).subarray(0, -32);
  const options = { skipHashCheck: true };
  await withRestored(snapshot, options, (_, restored) => {
    assert.equal(restored.revision, 66);
    return Promise.resolve();
  });
});

Deno.test("importEtcd() survives damage that it is not told of: it imports or throws BackupError", async () => {
  const [seed] = seeds(1) as [number];
  const random = new Random(seed);
  const snapshot = await readEtcdSnapshot();
  for (let i = 0; i < 40; i++) {
    const damaged = snapshot.slice();
    const at = 8192 + random.int(damaged.length - 8192 - 32);
    damaged[at] = random.int(256);
    try {
      const options = { skipHashCheck: true };
      await withRestored(damaged, options, () => Promise.resolve());
    } catch (error) {
      assert.ok(error instanceof BackupError, `seed ${seed}: ${error}`);
    }
  }
});
