import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { BackendError } from "../../src/backend/backend.ts";
import {
  SqliteBackend,
  type SqliteOptions,
} from "../../src/backend/driver/sqlite/sqlite_backend.ts";
import { SCHEMA_VERSION_KEY } from "../../src/backend/schema_version.ts";
import { StateKind } from "../../src/backend/state_change.ts";
import { text, utf8 } from "../../src/base/bytes.ts";
import { batchOf, makeBatch, rowsOf } from "../support/batches.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { loadAll } from "./backend_contract.ts";

/** A store of its own for each test; what `make` made is closed in the end. */
function testSqlite(
  behaviour: string,
  run: (
    dir: string,
    make: (options?: Partial<SqliteOptions>) => SqliteBackend,
  ) => Promise<void>,
) {
  Deno.test(`SqliteBackend ${behaviour}`, async () => {
    const parent = Deno.makeTempDirSync({ prefix: "stele-sqlite-" });
    const dir = `${parent}/data`;
    const made: SqliteBackend[] = [];
    const make = (options: Partial<SqliteOptions> = {}) => {
      const backend = new SqliteBackend({ dir, ...options }, new FakeClock());
      made.push(backend);
      return backend;
    };
    try {
      await run(dir, make);
    } finally {
      for (const backend of made) await backend.close();
      Deno.removeSync(parent, { recursive: true });
    }
  });
}

testSqlite(
  "keeps every acknowledged batch through kill -9",
  async (dir, make) => {
    let acknowledged = 0;
    for (let round = 0; round < 6; round++) {
      acknowledged = await writeAndKill(dir, acknowledged + 20 + round * 37);
      const backend = make();
      const { seq, revision } = await backend.open();
      assert.ok(seq >= acknowledged, `${seq} is before ${acknowledged}`);
      assert.ok(seq <= acknowledged + 1, "more than one batch was under way");
      let rev = 1;
      for (const batch of await backend.batchesAfter(0, seq)) {
        const want = makeBatch(batch.seq, rev, { rows: 1 + batch.seq % 40 });
        assert.deepEqual(new Uint8Array(batch.rows), want.rows);
        rev = batch.lastRev;
      }
      assert.equal(rev, revision);
      assert.equal((await loadAll(backend)).rows.length, revision - 1);
      await backend.close();
      acknowledged = seq;
    }
  },
);

testSqlite(
  "is locked against another process, and free once that is killed",
  async (dir, make) => {
    const writer = await Writer.start(dir);
    const backend = make();
    const refused = assert.rejects(backend.open(), {
      name: "BackendError",
      kind: "locked",
      message: `Cannot open ${
        JSON.stringify(Deno.realPathSync(dir))
      }: it is locked by another process`,
    });
    await refused;
    await writer.kill();
    assert.ok((await backend.open()).seq >= 0);
  },
);

testSqlite(
  "is locked against a second one in the same process",
  async (_dir, make) => {
    const first = make();
    const second = make();
    await first.open();
    await assert.rejects(second.open(), { kind: "locked" });
    assert.equal(await first.append(makeBatch(1, 1)), "committed");
    await first.close();
    assert.deepEqual(await second.open(), { seq: 1, revision: 2 });
  },
);

testSqlite(
  "refuses a schema from the future and names both versions",
  async (dir, make) => {
    const backend = make();
    await backend.open();
    await backend.close();
    const db = new DatabaseSync(`${dir}/stele.db`);
    db.prepare("UPDATE stele_meta SET value = ? WHERE key = ?")
      .run(utf8("7"), SCHEMA_VERSION_KEY);
    db.close();
    await assert.rejects(make().open(), {
      kind: "schema",
      message: /schema has version 7, this build knows version 2/,
    });
  },
);

testSqlite("refuses a database that is not Stele's", async (dir, make) => {
  Deno.mkdirSync(dir);
  const db = new DatabaseSync(`${dir}/stele.db`);
  db.exec("CREATE TABLE kine (id INTEGER)");
  db.close();
  await assert.rejects(make().open(), {
    kind: "schema",
    message: /not a database of Stele/,
  });
});

testSqlite(
  "keeps its worker from everything but the directory",
  async (dir, make) => {
    Deno.mkdirSync(dir);
    Deno.writeTextFileSync(`${dir}/../beside.txt`, "secret");
    const workerUrl = new URL(
      "../support/sqlite_probe_worker.ts",
      import.meta.url,
    );
    const backend = make({ workerUrl });
    await backend.open();
    assert.equal(await backend.append(makeBatch(1, 1)), "committed");
    const results = JSON.parse(Deno.readTextFileSync(`${dir}/probe.json`));
    const {
      "read inside": inside,
      "attach a database beside": attach,
      ...rest
    } = results as Record<string, string>;
    assert.equal(inside, "allowed");
    // SQLite itself refuses: Deno allows no attached databases under restricted permissions.
    assert.equal(attach, "Error");
    assert.ok(Object.keys(rest).length >= 10);
    for (const [name, result] of Object.entries(rest)) {
      assert.equal(result, "NotCapable", `${name}: ${result}`);
    }
  },
);

testSqlite(
  "says of a file that is no database that it is corrupt",
  async (dir, make) => {
    Deno.mkdirSync(dir);
    Deno.writeFileSync(`${dir}/stele.db`, new Uint8Array(10_000).fill(0x5a));
    await assert.rejects(make().open(), {
      name: "BackendError",
      kind: "corrupt",
      message: /file is not a database/,
    });
  },
);

testSqlite("says of a truncated file that it is corrupt", async (dir, make) => {
  const backend = make();
  await backend.open();
  await backend.append(makeBatch(1, 1, { rows: 1000 }));
  await backend.close();
  const { size } = Deno.statSync(`${dir}/stele.db`);
  Deno.truncateSync(`${dir}/stele.db`, size / 2);
  await assert.rejects(
    async () => {
      const broken = make();
      await broken.open();
      await loadAll(broken);
    },
    { name: "BackendError", kind: "corrupt" },
  );
});

testSqlite("reports a damaged page and writes no more", async (dir, make) => {
  const backend = make();
  await backend.open();
  await backend.append(makeBatch(1, 1, { rows: 2000 }));
  await backend.close();
  const file = Deno.openSync(`${dir}/stele.db`, { write: true });
  for (let page = 20; page < 100; page++) {
    file.seekSync(page * 4096, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(4096).fill(0xee));
  }
  file.close();
  const damaged = make();
  await damaged.open();
  await assert.rejects(loadAll(damaged), {
    name: "BackendError",
    kind: "corrupt",
  });
  const rows = Array.from({ length: 2000 }, (_, i) => ({ rev: i + 2, sub: 0 }));
  await assert.rejects(damaged.remove(rows), { kind: "corrupt" });
  await assert.rejects(damaged.append(makeBatch(2, 2001)), {
    message: /an earlier write failed/,
  });
  assert.deepEqual(await damaged.head(), { seq: 1, revision: 2001 });
});

testSqlite(
  "rejects with noSpace when full, keeps nothing of the batch, and goes on",
  async (_dir, make) => {
    const backend = make({ maxPageCount: 100 });
    await backend.open();
    let seq = 0;
    const append = () =>
      backend.append(makeBatch(seq + 1, 1 + seq * 20, { rows: 20 }));
    await assert.rejects(
      async () => {
        for (;;) {
          await append();
          seq++;
        }
      },
      {
        name: "BackendError",
        kind: "noSpace",
        message: /Cannot append: .*full/,
      },
    );
    assert.ok(seq > 5);
    assert.equal((await backend.head()).seq, seq);
    assert.equal(rowsOf(await backend.eventsAfter(0, 1e9)).length, seq * 20);
    assert.equal(await backend.batchIdAt(seq + 1), undefined);
    const gone = Array.from({ length: 60 }, (_, i) => ({ rev: i + 2, sub: 0 }));
    await backend.remove(gone);
    await assert.rejects(append(), { kind: "noSpace" });
    assert.equal((await backend.size()).isDiskFull, false);
    assert.equal(await append(), "committed");
  },
);

testSqlite("rejects a big batch with noSpace as well", async (_dir, make) => {
  const backend = make({ maxPageCount: 100 });
  await backend.open();
  const big = makeBatch(1, 1, { rows: 3, valueBytes: 700_000 });
  await assert.rejects(backend.append(big), { kind: "noSpace" });
  await backend.size();
  assert.equal(await backend.append(makeBatch(1, 1)), "committed");
});

testSqlite("rejects everything once its worker died", async (_dir, make) => {
  const backend = make();
  await backend.open();
  const isStopped = {
    name: "BackendError",
    kind: "closed",
    message: /ends inside/,
  };
  const broken = { ...makeBatch(1, 1), rows: new Uint8Array(5) };
  const calls = [backend.append(broken), backend.head(), backend.size()];
  for (const result of await Promise.allSettled(calls)) {
    assert.equal(result.status, "rejected");
    assert.ok(result.reason instanceof BackendError);
    assert.match(result.reason.message, /ends inside a header/);
  }
  await assert.rejects(backend.head(), isStopped);
  await assert.rejects(backend.append(makeBatch(1, 1)), isStopped);
  await backend.close();
  assert.deepEqual(await make().open(), { seq: 0, revision: 1 });
});

testSqlite(
  "snapshot() is a consistent store of one file while batches come in",
  async (dir, make) => {
    const backend = make();
    await backend.open();
    let seq = 0;
    let revision = 1;
    const append = async () => {
      await backend.append(makeBatch(++seq, revision, { rows: 50 }));
      revision += 50;
    };
    for (let i = 0; i < 100; i++) await append();
    const gone = Array.from(
      { length: 2000 },
      (_, i) => ({ rev: i + 2, sub: 0 }),
    );
    await backend.remove(gone);
    const before = seq;
    const making = backend.snapshot();
    let isMade = false;
    void making.then(() => isMade = true);
    while (!isMade) await append();
    const snapshot = await making;
    assert.ok(seq > before, "no batch was committed meanwhile");
    const copyDir = `${dir}/../copy`;
    Deno.mkdirSync(copyDir);
    const file = Deno.openSync(`${copyDir}/stele.db`, {
      createNew: true,
      write: true,
    });
    for (let at = 0; at < snapshot.sizeBytes;) {
      const piece = await snapshot.read(at, 100_000);
      file.writeSync(piece);
      at += piece.length;
      await append();
    }
    file.close();
    assert.equal(snapshot.sizeBytes % 512, 0);
    const temporary = () =>
      [...Deno.readDirSync(dir)].filter(({ name }) => name.endsWith(".tmp"));
    assert.equal(temporary().length, 1);
    await snapshot.close();
    assert.equal(temporary().length, 0);

    const copy = make({ dir: copyDir });
    const head = await copy.open();
    assert.ok(head.seq >= before && head.seq <= seq);
    const { rows } = await loadAll(copy);
    assert.equal(rows.length, head.seq * 50 - gone.length);
    assert.equal(rows[0]!.rev, 2002);
    assert.equal(rows.at(-1)!.rev, head.revision);
    const size = await copy.size();
    assert.equal(
      size.inUseBytes + (size.totalBytes - size.inUseBytes),
      size.totalBytes,
    );
    assert.equal(
      await copy.append(makeBatch(head.seq + 1, head.revision)),
      "committed",
    );
  },
);

testSqlite(
  "snapshot() leaves nothing behind after a crash",
  async (dir, make) => {
    const backend = make();
    await backend.open();
    await backend.close();
    Deno.writeTextFileSync(`${dir}/snapshot-3.tmp`, "half");
    Deno.writeTextFileSync(`${dir}/snapshot-3.tmp-journal`, "half");
    await make().open();
    const names = [...Deno.readDirSync(dir)].map(({ name }) => name);
    assert.ok(
      !names.some((name) => name.startsWith("snapshot-")),
      String(names),
    );
  },
);

testSqlite("snapshot() has a bound", async (_dir, make) => {
  const backend = make();
  await backend.open();
  const made = await Promise.allSettled(
    Array.from({ length: 5 }, () => backend.snapshot()),
  );
  const failed = made.filter((result) => result.status === "rejected");
  assert.equal(failed.length, 1);
  assert.match(String(failed[0]!.reason), /4 others are being read already/);
  for (const result of made) {
    if (result.status === "fulfilled") await result.value.close();
  }
  await (await backend.snapshot()).close();
});

testSqlite(
  "defragment() shrinks the file while batches come in",
  async (dir, make) => {
    const backend = make();
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 4000, valueBytes: 1000 }));
    await backend.remove(
      Array.from({ length: 3900 }, (_, i) => ({ rev: i + 2, sub: 0 })),
    );
    let isDone = false;
    const defragmenting = backend.defragment().then(() => isDone = true);
    let seq = 1;
    while (!isDone) await backend.append(makeBatch(++seq, 4000 + seq - 1));
    await defragmenting;
    assert.ok(seq > 1);
    assert.ok(Deno.statSync(`${dir}/stele.db`).size < 2_000_000);
    const rows = rowsOf(await backend.eventsAfter(0, 1e9));
    assert.equal(rows.length, 100 + seq - 1);
  },
);

testSqlite("bounds its WAL under constant appends", async (dir, make) => {
  const backend = make({ synchronous: "off" });
  await backend.open();
  for (let seq = 1; seq <= 60; seq++) {
    await backend.append(makeBatch(seq, 1 + (seq - 1) * 1000, { rows: 1000 }));
  }
  const { size } = Deno.statSync(`${dir}/stele.db-wal`);
  assert.ok(size < 20_000_000, `WAL has ${size} bytes`);
  assert.ok(Deno.statSync(`${dir}/stele.db`).size > 20_000_000);
  await backend.close();
  assert.equal(
    [...Deno.readDirSync(dir)].some(({ name }) => name.endsWith("-wal")),
    false,
  );
});

testSqlite(
  "refuses state that would overwrite the schema's version",
  async (_dir, make) => {
    const backend = make();
    await backend.open();
    const key = SCHEMA_VERSION_KEY.slice();
    const change = { kind: StateKind.Meta, key, value: utf8("9") };
    await assert.rejects(
      backend.append(batchOf({ seq: 1, afterRev: 1 }, [], [change])),
      /key of the schema's version/,
    );
    await backend.close();
    assert.deepEqual(await make().open(), { seq: 0, revision: 1 });
  },
);

testSqlite(
  "rejects calls that are waiting when it is closed",
  async (_dir, make) => {
    const backend = make();
    await backend.open();
    await backend.append(makeBatch(1, 1, { rows: 5000 }));
    const ids = Array.from(
      { length: 5000 },
      (_, i) => ({ rev: i + 2, sub: 0 }),
    );
    const waiting = [backend.valuesOf(ids), backend.eventsAfter(0, 1e9)];
    const closing = backend.close();
    for (const result of await Promise.allSettled(waiting)) {
      assert.equal(result.status, "rejected");
      assert.equal(result.reason.kind, "closed");
    }
    await closing;
  },
);

testSqlite("says why a directory cannot be used", async (dir, make) => {
  Deno.writeTextFileSync(dir, "a file");
  await assert.rejects(make().open(), {
    name: "BackendError",
    message: /^Cannot open ".*data": /,
  });
});

Deno.test("SqliteBackend warns of a slow append", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "stele-sqlite-" });
  const clock = new FakeClock();
  const warnings: [string, Record<string, unknown>][] = [];
  const log = {
    warn: (message: string, fields: Record<string, unknown>) => {
      warnings.push([message, fields]);
    },
  };
  const backend = new SqliteBackend({ dir, slowAppendMs: 50 }, clock, log);
  await backend.open();
  for (const [seq, tookMs] of [[1, 50], [2, 51]] as const) {
    const appending = backend.append(makeBatch(seq, seq));
    clock.advance(tookMs);
    await appending;
  }
  await backend.close();
  Deno.removeSync(dir, { recursive: true });
  assert.deepEqual(
    warnings.map(([message, { seq, tookMs }]) => [message, seq, tookMs]),
    [["append was slow", 2, 51]],
  );
});

/** A child process that appends to a store. */
class Writer {
  #lines: ReadableStreamDefaultReader<Uint8Array>;
  #buffer = "";
  /** The last seq that it said was committed. */
  acknowledged = 0;

  private constructor(readonly child: Deno.ChildProcess) {
    this.#lines = child.stdout.getReader();
  }

  /** Resolves once the store is open there. */
  static async start(dir: string): Promise<Writer> {
    const script = new URL("../support/sqlite_writer.ts", import.meta.url);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-prompt",
        "--no-check",
        "--unstable-worker-options",
        script.pathname,
        dir,
      ],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const writer = new Writer(child);
    await writer.read();
    return writer;
  }

  /** Reads what was printed meanwhile; false at the end. */
  async read(): Promise<boolean> {
    const { value, done } = await this.#lines.read();
    if (done) return false;
    this.#buffer += text(value);
    const lines = this.#buffer.split("\n");
    this.#buffer = lines.pop()!;
    if (lines.length > 0) this.acknowledged = Number(lines.at(-1));
    return true;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    while (await this.read());
    await this.child.status;
  }
}

/** Lets a writer come to `seq` at least, kills it, and returns how far it said it was. */
async function writeAndKill(dir: string, seq: number): Promise<number> {
  const writer = await Writer.start(dir);
  while (writer.acknowledged < seq && await writer.read());
  await writer.kill();
  return writer.acknowledged;
}
