import assert from "node:assert/strict";
import { DataDir } from "../../../../../src/backend/driver/sqlite/data_dir.ts";
import { Database } from "../../../../../src/backend/driver/sqlite/database.ts";
import { HighWaterMark } from "../../../../../src/backend/driver/sqlite/high_water_mark.ts";
import { encodeState } from "../../../../../src/backend/state_codec.ts";
import { makeBatch } from "../../../../support/batches.ts";

function withDirectory(work: (path: string) => void): void {
  const path = Deno.makeTempDirSync({ prefix: "stele-mark-" });
  try {
    work(path);
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
}

Deno.test("HighWaterMark keeps the last number, and none that is damaged", () => {
  withDirectory((dir) => {
    const path = `${dir}/mark`;
    const mark = new HighWaterMark(path);
    assert.equal(mark.read(), undefined);
    mark.check(0);
    for (const seq of [1, 2, Number.MAX_SAFE_INTEGER]) mark.raise(seq);
    mark.close();
    assert.equal(new HighWaterMark(path).read(), Number.MAX_SAFE_INTEGER);
    const whole = Deno.readFileSync(path);
    for (let at = 0; at < 12; at++) {
      const damaged = whole.slice();
      damaged[at]! ^= 1;
      Deno.writeFileSync(path, damaged);
      assert.equal(mark.read(), undefined, `byte ${at}`);
    }
    Deno.writeFileSync(path, whole.subarray(0, 15));
    assert.equal(mark.read(), undefined);
    mark.remove();
    mark.remove();
  });
});

Deno.test("HighWaterMark.check() takes a log that ends at the mark or behind it, and no shorter one", () => {
  withDirectory((dir) => {
    const mark = new HighWaterMark(`${dir}/mark`);
    mark.raise(7);
    mark.close();
    mark.check(7);
    mark.check(8);
    assert.throws(() => mark.check(6), {
      kind: "corrupt",
      message: /batch 7 was confirmed, and the log ends at 6$/,
      cure: /restore a snapshot.*remove stele\.db-mark/,
    });
  });
});

/** Appends batches and leaves the files as a killed process would. */
function crashAfter(
  path: string,
  batches: number,
  synchronous: "full" | "off",
): void {
  const dir = DataDir.open(path);
  const database = Database.open(dir, { synchronous, maxPageCount: 0 });
  for (let i = 1; i <= batches; i++) {
    const { state, ...batch } = makeBatch(i, i);
    database.append({ ...batch, request: 0, ops: encodeState(state) });
  }
  const copies = [...Deno.readDirSync(path)].map(({ name }) => ({
    name,
    bytes: Deno.readFileSync(`${path}/${name}`),
  }));
  database.close();
  dir.close();
  for (const { name, bytes } of copies) {
    Deno.writeFileSync(`${path}/${name}`, bytes);
  }
}

function openSeq(path: string, synchronous: "full" | "off"): number {
  const dir = DataDir.open(path);
  try {
    const database = Database.open(dir, { synchronous, maxPageCount: 0 });
    const { seq } = database.head;
    database.close();
    return seq;
  } finally {
    dir.close();
  }
}

Deno.test("Database refuses a log that was removed after a crash, until it is told to go on without it", () => {
  withDirectory((path) => {
    crashAfter(path, 3, "full");
    Deno.removeSync(`${path}/stele.db-wal`);
    assert.throws(() => openSeq(path, "full"), {
      kind: "corrupt",
      message: /batch 3 was confirmed, and the log ends at 0/,
    });
    Deno.removeSync(`${path}/stele.db-mark`);
    assert.equal(openSeq(path, "full"), 0);
  });
});

Deno.test("Database takes all that a crash leaves", () => {
  withDirectory((path) => {
    crashAfter(path, 3, "full");
    assert.equal(openSeq(path, "full"), 3);
    assert.equal(openSeq(path, "full"), 3);
  });
});

Deno.test("Database has no mark, and looks for none, while nothing is synced", () => {
  withDirectory((path) => {
    crashAfter(path, 3, "full");
    assert.equal(openSeq(path, "off"), 3);
    assert.throws(() => Deno.statSync(`${path}/stele.db-mark`));
    crashAfter(path, 0, "off");
    assert.equal(openSeq(path, "full"), 3);
  });
});
