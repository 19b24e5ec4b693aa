import assert from "node:assert/strict";
import { openBackend } from "../../../src/backend/open.ts";
import { StateKind } from "../../../src/backend/state_change.ts";
import { restoreSnapshot } from "../../../src/backup/restore.ts";
import { writeSnapshotFile } from "../../../src/backup/snapshot_file.ts";
import { snapshotStatus } from "../../../src/backup/snapshot_status.ts";
import { checkDataDir } from "../../../src/backup/store_check.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import {
  makeOfflineStore,
  type OfflineStore,
} from "../../support/offline_store.ts";

/** The fixture's store, a snapshot of it, and room for what is restored. */
class Fixture implements AsyncDisposable {
  private constructor(
    readonly store: OfflineStore,
    readonly dir: string,
    readonly snapshot: string,
  ) {}

  static async make(): Promise<Fixture> {
    const alarm = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 9, 1]);
    const store = await makeOfflineStore([
      { kind: StateKind.Alarm, key: alarm, value: Uint8Array.of(1) },
    ]);
    const dir = await Deno.makeTempDir({ prefix: "stele-restore-" });
    const snapshot = `${dir}/snapshot.db`;
    const backend = openBackend(`sqlite://${store.dir}`, {
      clock: new SystemClock(),
    });
    await backend.open();
    const copy = await backend.snapshot();
    const chunk = await copy.read(0, copy.sizeBytes);
    async function* chunks() {
      yield await Promise.resolve(chunk);
    }
    await writeSnapshotFile(snapshot, chunks(), { addChecksum: true });
    await copy.close();
    await backend.close();
    return new Fixture(store, dir, snapshot);
  }

  get target(): string {
    return `${this.dir}/new`;
  }

  restore(more: { bumpRevision?: number; skipHashCheck?: boolean } = {}) {
    return restoreSnapshot(this.snapshot, {
      dataDir: this.target,
      skipHashCheck: false,
      bumpRevision: 0,
      clock: new SystemClock(),
      ...more,
    });
  }

  async [Symbol.asyncDispose]() {
    await this.store[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

Deno.test("snapshotStatus() says what is in a snapshot, by the same hash as the store", async () => {
  await using f = await Fixture.make();
  const status = await snapshotStatus(f.snapshot, { skipHashCheck: false });
  const { size } = await Deno.stat(f.snapshot);
  assert.deepEqual(status, {
    hash: (await f.store.check()).hash,
    revision: 7,
    compactRevision: -1,
    totalKey: 4,
    totalSize: size,
    version: "2",
    lastWriteMs: 1_700_000_000_006,
    hasChecksum: true,
  });
});

Deno.test("restoreSnapshot() makes a sound store with the same keys, and ids of its own", async () => {
  await using f = await Fixture.make();
  const restored = await f.restore();
  assert.equal(restored.revision, 7);
  assert.equal(restored.compactRevision, -1);
  const report = await checkDataDir(f.target);
  assert.deepEqual(report.violations, []);
  assert.equal(report.hash, (await f.store.check()).hash);
  assert.equal(report.leases, 1);
  assert.deepEqual(names(f.target), ["stele.db", "stele.lock"]);
  const again = await restoreSnapshot(f.snapshot, {
    dataDir: `${f.dir}/other`,
    skipHashCheck: false,
    bumpRevision: 0,
    clock: new SystemClock(),
  });
  assert.notEqual(again.clusterId, restored.clusterId);
  assert.notEqual(again.memberId, restored.memberId);
});

Deno.test("restoreSnapshot() gives the new member the alarms of the old one", async () => {
  await using f = await Fixture.make();
  const { memberId } = await f.restore();
  const alarms: [bigint, number][] = [];
  const backend = openBackend(`sqlite://${f.target}`, {
    clock: new SystemClock(),
  });
  await backend.open();
  await backend.load({
    state({ kind, key }) {
      if (kind !== StateKind.Alarm) return;
      const view = new DataView(key.buffer, key.byteOffset);
      alarms.push([view.getBigUint64(0), key[8]!]);
    },
    rows: () => {},
  });
  await backend.close();
  assert.deepEqual(alarms, [[memberId, 1]]);
});

Deno.test("restoreSnapshot() raises the revision, and compacts there", async () => {
  await using f = await Fixture.make();
  const restored = await f.restore({ bumpRevision: 1000 });
  assert.equal(restored.revision, 1007);
  assert.equal(restored.compactRevision, 1007);
  const report = await checkDataDir(f.target);
  assert.deepEqual(report.violations, []);
  assert.equal(report.revision, 1007);
  assert.equal(report.compactRevision, 1007);
  assert.equal(report.keys, 4);
});

Deno.test("restoreSnapshot() refuses a revision that is no safe integer, and leaves nothing", async () => {
  await using f = await Fixture.make();
  await assert.rejects(
    f.restore({ bumpRevision: Number.MAX_SAFE_INTEGER }),
    /the sum is too large/,
  );
  assert.deepEqual(names(f.dir), ["snapshot.db"]);
});

Deno.test("restoreSnapshot() takes an empty directory, and none that has anything in it", async () => {
  await using f = await Fixture.make();
  await Deno.mkdir(f.target);
  await f.restore();
  await assert.rejects(f.restore(), /it is not empty, "stele.db" is in it/);
});

Deno.test("restoreSnapshot() takes a directory in which a restore crashed", async () => {
  await using f = await Fixture.make();
  await Deno.mkdir(`${f.target}/restore.part`, { recursive: true });
  await Deno.writeTextFile(`${f.target}/restore.part/stele.db`, "half");
  await Deno.writeTextFile(`${f.target}/stele.lock`, "");
  await f.restore();
  assert.deepEqual((await checkDataDir(f.target)).violations, []);
});

Deno.test("restoreSnapshot() makes the directories above", async () => {
  await using f = await Fixture.make();
  await restoreSnapshot(f.snapshot, {
    dataDir: `${f.dir}/a/b/c`,
    skipHashCheck: false,
    bumpRevision: 0,
    clock: new SystemClock(),
  });
  assert.deepEqual((await checkDataDir(`${f.dir}/a/b/c`)).violations, []);
});

/** Each changes the snapshot; the restore must then fail and leave no directory. */
const DAMAGES: readonly [string, (bytes: Uint8Array) => Uint8Array, RegExp][] =
  [
    ["a byte of a value flipped", (bytes) => {
      const at = indexOf(bytes, "a3");
      return bytes.with(at, bytes[at]! ^ 1);
    }, /its SHA-256 is not the one at its end/],
    ["its end cut off", (bytes) => bytes.subarray(0, -1), /no checksum/],
    ["its last page gone", (bytes) => bytes.subarray(0, -4096), /SHA-256/],
    ["no checksum", (bytes) => bytes.subarray(0, -32), /no checksum/],
    ["nothing in it", () => new Uint8Array(0), /neither a snapshot/],
    ["other contents", (bytes) => bytes.map(() => 7), /neither a snapshot/],
  ];

for (const [name, damage, message] of DAMAGES) {
  Deno.test(`restoreSnapshot() refuses a snapshot with ${name}`, async () => {
    await using f = await Fixture.make();
    await Deno.writeFile(f.snapshot, damage(await Deno.readFile(f.snapshot)));
    await assert.rejects(f.restore(), message);
    await assert.rejects(
      snapshotStatus(f.snapshot, { skipHashCheck: false }),
      message,
    );
    assert.deepEqual(names(f.dir), ["snapshot.db"]);
  });
}

Deno.test("restoreSnapshot() finds a damaged page even where the checksum is skipped", async () => {
  await using f = await Fixture.make();
  const bytes = await Deno.readFile(f.snapshot);
  bytes.fill(0xa5, 3 * 4096, 4 * 4096);
  await Deno.writeFile(f.snapshot, bytes);
  await assert.rejects(f.restore({ skipHashCheck: true }), /damaged|malformed/);
  assert.deepEqual(names(f.dir), ["snapshot.db"]);
});

Deno.test("restoreSnapshot() leaves an empty directory as it was when it fails", async () => {
  await using f = await Fixture.make();
  await Deno.mkdir(f.target);
  const bytes = await Deno.readFile(f.snapshot);
  bytes[5000]! ^= 1;
  await Deno.writeFile(f.snapshot, bytes);
  await assert.rejects(f.restore(), /SHA-256/);
  assert.deepEqual(names(f.target), []);
});

Deno.test("restoreSnapshot() takes a copied database with the log beside it, if told to skip the checksum", async () => {
  await using f = await Fixture.make();
  const backend = openBackend(`sqlite://${f.store.dir}`, {
    clock: new SystemClock(),
  });
  const { seq, revision } = await backend.open();
  await backend.append({
    seq: seq + 1,
    id: new Uint8Array(16),
    firstRev: revision + 1,
    lastRev: revision,
    timeMs: 0,
    rows: new Uint8Array(0),
    state: [{
      kind: StateKind.Auth,
      key: new Uint8Array(1),
      value: new Uint8Array(1),
    }],
  });
  await Deno.copyFile(f.store.database, f.snapshot);
  await Deno.copyFile(`${f.store.database}-wal`, `${f.snapshot}-wal`);
  await backend.close();
  await assert.rejects(f.restore(), /--skip-hash-check/);
  await f.restore({ skipHashCheck: true });
  const report = await checkDataDir(f.target);
  assert.deepEqual(report.violations, []);
  // The fixture's six, the one in the log, and the restore's.
  assert.equal(report.batches, 8);
});

Deno.test("restoreSnapshot() refuses a file that only begins as etcd's do", async () => {
  await using f = await Fixture.make();
  const bbolt = new Uint8Array(4096);
  new DataView(bbolt.buffer).setUint32(16, 0xed0cdaed, true);
  await Deno.writeFile(f.snapshot, bbolt);
  await assert.rejects(
    f.restore({ skipHashCheck: true }),
    /neither meta page is whole/,
  );
  await assert.rejects(
    snapshotStatus(f.snapshot, { skipHashCheck: true }),
    /it is a snapshot of etcd/,
  );
  assert.deepEqual(names(f.dir), ["snapshot.db"]);
});

Deno.test("restoreSnapshot() stops for its signal, and leaves nothing", async () => {
  await using f = await Fixture.make();
  await assert.rejects(
    restoreSnapshot(f.snapshot, {
      dataDir: f.target,
      skipHashCheck: false,
      bumpRevision: 0,
      clock: new SystemClock(),
      signal: AbortSignal.abort(),
    }),
    { name: "AbortError" },
  );
  assert.deepEqual(names(f.dir), ["snapshot.db"]);
});

function indexOf(bytes: Uint8Array, text: string): number {
  const at = new TextDecoder("latin1").decode(bytes).indexOf(text);
  assert.ok(at >= 0);
  return at;
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}
