import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { DataDir } from "../../../../../src/backend/driver/sqlite/data_dir.ts";
import { Database } from "../../../../../src/backend/driver/sqlite/database.ts";
import type { Job } from "../../../../../src/backend/driver/sqlite/job.ts";
import { SCHEMA_VERSION_KEY } from "../../../../../src/backend/schema_version.ts";
import { encodeState } from "../../../../../src/backend/state_codec.ts";
import { utf8 } from "../../../../../src/base/bytes.ts";
import { makeBatch } from "../../../../support/batches.ts";
import {
  DiskError,
  type Fault,
  FaultyDisk,
  OPEN,
} from "../../../../support/faulty_disk.ts";

const OPTIONS = { synchronous: "full", maxPageCount: 0 } as const;
const FAILED_SYNC = { statement: "^COMMIT$", error: DiskError.Sync } as const;

interface Fixture extends Disposable {
  readonly path: string;
  readonly dir: DataDir;
}

function fixture(): Fixture {
  const path = Deno.makeTempDirSync({ prefix: "stele-database-" });
  const dir = DataDir.open(path);
  return {
    path,
    dir,
    [Symbol.dispose]() {
      dir.close();
      Deno.removeSync(path, { recursive: true });
    },
  };
}

function slotBatch(seq: number, revision: number) {
  const { state, ...batch } = makeBatch(seq, revision);
  return { ...batch, request: 0, ops: encodeState(state) };
}

function runJob<T>(job: Job<T>): T {
  for (;;) {
    const { done, value } = job.next();
    if (done) return value;
  }
}

/** Loads everything; returns the number of row blocks. */
function loadAll(database: Database): number {
  let blocks = 0;
  const sink = { hasRoom: true, state: () => {}, rows: () => void blocks++ };
  runJob(database.load(sink));
  return blocks;
}

Deno.test("Database.open() writes nothing to a file that is there", () => {
  using files = fixture();
  Database.open(files.dir, OPTIONS).close();
  const again = Database.open(files.dir, OPTIONS);
  assert.equal(files.dir.walBytes(), 0);
  again.close();
});

Deno.test("Database.open() refuses a file that cannot be written", () => {
  using files = fixture();
  Database.open(files.dir, OPTIONS).close();
  const openToRead = (path: string) =>
    new DatabaseSync(path, { readOnly: true });
  assert.throws(
    () => Database.open(files.dir, OPTIONS, openToRead),
    /attempt to write a readonly database/,
  );
});

Deno.test("Database.open() leaves no file that it could not make to the end", () => {
  using files = fixture();
  assert.throws(
    () => Database.open(files.dir, { ...OPTIONS, maxPageCount: 2 }),
    /database or disk is full/,
  );
  assert.equal(files.dir.hasDatabase(), false);
  const database = Database.open(files.dir, OPTIONS);
  assert.deepEqual(database.head, { seq: 0, revision: 1 });
  database.close();
});

Deno.test("Database.open() never takes a log for that of a file which it makes", () => {
  using files = fixture();
  const { databasePath, walPath, markPath } = files.dir;
  const database = Database.open(files.dir, OPTIONS);
  database.append(slotBatch(1, 1));
  const log = Deno.readFileSync(walPath);
  database.close();
  Deno.removeSync(databasePath);
  Deno.writeFileSync(walPath, log);
  assert.throws(
    () => Database.open(files.dir, OPTIONS),
    /batch 1 was confirmed, and the log ends at 0/,
  );
  Deno.removeSync(databasePath);
  Deno.writeFileSync(walPath, log);
  Deno.removeSync(markPath);
  const made = Database.open(files.dir, OPTIONS);
  assert.equal(made.head.seq, 0);
  made.close();
});

for (const when of ["before", "after"] as const) {
  Deno.test(`Database opens the file again when a sync fails ${when} the log was written, and knows what became of the batch`, () => {
    using files = fixture();
    let faults: readonly Fault[] = [];
    const disk = new FaultyDisk(() => faults);
    const database = Database.open(files.dir, OPTIONS, disk.open);
    const first = slotBatch(1, 1);
    assert.equal(database.append(first), "committed");
    const second = slotBatch(2, first.lastRev);
    faults = [{ ...FAILED_SYNC, isDone: when === "after" }];
    assert.throws(() => database.append(second), { errcode: DiskError.Sync });
    faults = [];
    assert.equal(disk.opened, 1);
    const id = database.batchIdAt(2);
    assert.equal(disk.opened, 2);
    if (when === "before") assert.equal(id, undefined);
    else assert.deepEqual(id, second.id);
    assert.equal(database.append(second), "committed");
    assert.equal(disk.opened, 2);
    assert.equal(
      database.append(slotBatch(3, second.lastRev)),
      "committed",
    );
    assert.equal(loadAll(database), 1);
    database.close();
  });
}

Deno.test("Database fails closed when a failed sync has lost what was confirmed", () => {
  using files = fixture();
  let faults: readonly Fault[] = [];
  const disk = new FaultyDisk(() => faults);
  const database = Database.open(files.dir, OPTIONS, disk.open);
  const first = slotBatch(1, 1);
  database.append(first);
  faults = [FAILED_SYNC];
  assert.throws(() => database.append(slotBatch(2, first.lastRev)));
  faults = [];
  const other = new DatabaseSync(files.dir.databasePath);
  other.exec(
    "DELETE FROM stele_batch; DELETE FROM stele_kv; UPDATE stele_removed SET sum = 0",
  );
  other.close();
  for (let i = 0; i < 2; i++) {
    assert.throws(() => database.append(slotBatch(2, first.lastRev)), {
      kind: "corrupt",
      message: /batch 1 was lost when a sync failed/,
    });
  }
  database.close();
});

Deno.test("Database that cannot be opened again says so to whoever reads or writes, and goes on once it can be", () => {
  using files = fixture();
  let faults: readonly Fault[] = [];
  const disk = new FaultyDisk(() => faults);
  const database = Database.open(files.dir, OPTIONS, disk.open);
  const first = slotBatch(1, 1);
  database.append(first);
  const second = slotBatch(2, first.lastRev);
  faults = [FAILED_SYNC, { statement: OPEN, error: DiskError.CannotOpen }];
  assert.throws(() => database.append(second), { errcode: DiskError.Sync });
  const calls: Record<string, () => unknown> = {
    append: () => database.append(second),
    batchIdAt: () => database.batchIdAt(1),
    size: () => database.size(),
    eventsAfter: () => runJob(database.eventsAfter(0, 1)),
    batchesAfter: () => runJob(database.batchesAfter(0, 1)),
    valuesOf: () => runJob(database.valuesOf(Float64Array.of(2, 0))),
    trimBatches: () => runJob(database.trimBatches(1)),
    defragment: () => runJob(database.defragment()),
  };
  for (const [name, call] of Object.entries(calls)) {
    assert.throws(call, { errcode: DiskError.CannotOpen }, name);
  }
  faults = [];
  for (const call of Object.values(calls)) call();
  assert.deepEqual(database.batchIdAt(2), second.id);
  database.close();
});

/** Turns the file into what the first release wrote. */
function downgrade(path: string): void {
  const db = new DatabaseSync(path);
  for (const column of ["rows_sum", "state_sum", "crc"]) {
    db.exec(`ALTER TABLE stele_batch DROP COLUMN ${column}`);
  }
  db.exec("ALTER TABLE stele_kv DROP COLUMN crc; DROP TABLE stele_removed");
  db.prepare("UPDATE stele_meta SET value = ? WHERE key = ?")
    .run(utf8("1"), SCHEMA_VERSION_KEY);
  db.close();
}

Deno.test("Database migrates schema 1, removes its rows, and checks those that come later", () => {
  using files = fixture();
  let database = Database.open(files.dir, OPTIONS);
  const first = slotBatch(1, 1);
  database.append(first);
  database.close();
  downgrade(files.dir.databasePath);

  database = Database.open(files.dir, OPTIONS);
  assert.equal(loadAll(database), 1);
  database.append(slotBatch(2, first.lastRev));
  runJob(database.remove(Float64Array.of(first.firstRev, 0)));
  database.close();

  database = Database.open(files.dir, OPTIONS);
  assert.equal(loadAll(database), 1);
  database.close();
  const db = new DatabaseSync(files.dir.databasePath);
  db.exec(
    "UPDATE stele_kv SET value = x'00' WHERE rev = (SELECT max(rev) FROM stele_kv)",
  );
  db.close();
  database = Database.open(files.dir, OPTIONS);
  assert.throws(() => loadAll(database), {
    name: "DamageError",
    message: /^row \d+\/\d+ does not match its checksum$/,
  });
  database.close();
});
