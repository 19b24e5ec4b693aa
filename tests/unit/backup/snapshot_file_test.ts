import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { BackupError } from "../../../src/backup/backup_error.ts";
import {
  checkKind,
  inspectSnapshotFile,
  verifySnapshotFile,
  writeSnapshotFile,
} from "../../../src/backup/snapshot_file.ts";

/** Calls `act` with a directory that is then removed. */
async function withDir(act: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stele-backup-" });
  try {
    await act(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const DATA = new Uint8Array(4096).map((_, i) => i * 7);
const DIGEST = new Uint8Array(createHash("sha256").update(DATA).digest());
const WHOLE = new Uint8Array([...DATA, ...DIGEST]);

async function* inPieces(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.slice(at, at + size));
  }
}

// Pieces that end before, in and behind the checksum.
for (const size of [1, 31, 32, 33, 4095, 4096, 4097, 5000]) {
  Deno.test(`writeSnapshotFile() takes what comes with its checksum, ${size} bytes at a time`, () =>
    withDir(async (dir) => {
      const path = `${dir}/s.db`;
      const bytes = await writeSnapshotFile(path, inPieces(WHOLE, size), {
        addChecksum: false,
      });
      assert.equal(bytes, WHOLE.length);
      assert.deepEqual(await Deno.readFile(path), WHOLE);
      const info = await verifySnapshotFile(path, { skipHashCheck: false });
      assert.equal(info.dataBytes, DATA.length);
      assert.deepEqual(names(dir), ["s.db"]);
    }));
}

Deno.test("writeSnapshotFile() adds the checksum where there is none", () =>
  withDir(async (dir) => {
    const path = `${dir}/s.db`;
    await writeSnapshotFile(path, inPieces(DATA, 1000), { addChecksum: true });
    assert.deepEqual(await Deno.readFile(path), WHOLE);
  }));

const flipped = WHOLE.slice();
flipped[100]! ^= 1;
const BROKEN: readonly [name: string, bytes: Uint8Array][] = [
  ["with a flipped bit", flipped],
  ["cut off", WHOLE.subarray(0, WHOLE.length - 1)],
  ["without its checksum", DATA],
  ["shorter than a checksum", WHOLE.subarray(0, 31)],
  ["empty", new Uint8Array(0)],
];

for (const [name, bytes] of BROKEN) {
  Deno.test(`writeSnapshotFile() leaves nothing of a stream that is ${name}`, () =>
    withDir(async (dir) => {
      const written = writeSnapshotFile(`${dir}/s.db`, inPieces(bytes, 1000), {
        addChecksum: false,
      });
      await assert.rejects(written, BackupError);
      assert.deepEqual(names(dir), []);
    }));

  Deno.test(`verifySnapshotFile() refuses a file ${name}`, () =>
    withDir(async (dir) => {
      const path = `${dir}/s.db`;
      await Deno.writeFile(path, bytes);
      await assert.rejects(
        verifySnapshotFile(path, { skipHashCheck: false }),
        BackupError,
      );
      await verifySnapshotFile(path, { skipHashCheck: true });
    }));
}

Deno.test("writeSnapshotFile() keeps the old file until the new one is whole", () =>
  withDir(async (dir) => {
    const path = `${dir}/s.db`;
    await Deno.writeTextFile(path, "old");
    async function* failing() {
      yield await Promise.resolve(DATA);
      throw new Error("connection lost");
    }
    await assert.rejects(
      writeSnapshotFile(path, failing(), { addChecksum: false }),
      /connection lost/,
    );
    assert.equal(await Deno.readTextFile(path), "old");
    assert.deepEqual(names(dir), ["s.db"]);
    await writeSnapshotFile(path, inPieces(WHOLE, 999), { addChecksum: false });
    assert.deepEqual(await Deno.readFile(path), WHOLE);
  }));

Deno.test("writeSnapshotFile() stops for its signal, and tidies up", () =>
  withDir(async (dir) => {
    const abort = new AbortController();
    async function* aborting() {
      yield await Promise.resolve(DATA);
      abort.abort();
      yield DIGEST;
    }
    await assert.rejects(
      writeSnapshotFile(`${dir}/s.db`, aborting(), {
        addChecksum: false,
        signal: abort.signal,
      }),
      { name: "AbortError" },
    );
    assert.deepEqual(names(dir), []);
  }));

Deno.test("verifySnapshotFile() copies what stands before the checksum, and reports how far it is", () =>
  withDir(async (dir) => {
    await Deno.writeFile(`${dir}/s.db`, WHOLE);
    const progress: number[] = [];
    await verifySnapshotFile(`${dir}/s.db`, {
      skipHashCheck: false,
      copyTo: `${dir}/copy`,
      onProgress: (done, total) => progress.push(done / total),
    });
    assert.deepEqual(await Deno.readFile(`${dir}/copy`), DATA);
    assert.deepEqual(progress, [1]);
  }));

Deno.test("inspectSnapshotFile() knows files by their first bytes", () =>
  withDir(async (dir) => {
    const path = `${dir}/s.db`;
    const bbolt = new Uint8Array(4096);
    new DataView(bbolt.buffer).setUint32(16, 0xed0cdaed, true);
    const sqlite = new Uint8Array(4096);
    sqlite.set(new TextEncoder().encode("SQLite format 3\0"));
    const files = [
      [sqlite, "stele"],
      [bbolt, "etcd"],
      [DATA, "other"],
      [new Uint8Array(3), "other"],
    ] as const;
    for (const [bytes, kind] of files) {
      await Deno.writeFile(path, bytes);
      const info = await inspectSnapshotFile(path);
      assert.equal(info.kind, kind);
      assert.equal(info.hasChecksum, false);
    }
    assert.throws(
      () =>
        checkKind(path, {
          kind: "other",
          sizeBytes: 0,
          dataBytes: 0,
          hasChecksum: false,
        }),
      /neither a snapshot of Stele nor one of etcd/,
    );
    await assert.rejects(inspectSnapshotFile(dir));
  }));

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}
