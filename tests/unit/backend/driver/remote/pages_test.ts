import assert from "node:assert/strict";
import type {
  RowPage,
  StoredRow,
} from "../../../../../src/backend/driver/remote/dialect.ts";
import { rowPages } from "../../../../../src/backend/driver/remote/pages.ts";

/** Rows 1 to `count`, three at a time; keeps what was asked. */
class FakeReader {
  readonly asked: number[] = [];
  underWay = 0;

  constructor(readonly count: number) {}

  async rows({ afterRev }: RowPage): Promise<StoredRow[]> {
    this.asked.push(afterRev);
    this.underWay++;
    await new Promise((resolve) => setTimeout(resolve));
    this.underWay--;
    const left = Math.max(0, Math.min(3, this.count - afterRev));
    return Array.from({ length: left }, (_, i) => row(afterRev + 1 + i));
  }
}

function row(rev: number): StoredRow {
  return {
    ...{ rev, sub: 0, bytes: new Uint8Array(0), keyBytes: 0, createRev: 1 },
    ...{ version: 1, lease: "0", deleted: false },
  };
}

const RANGE = { afterRev: 0, throughRev: 100 };

for (const ahead of [true, false]) {
  Deno.test(`rowPages() gives every row once${ahead ? ", reading ahead" : ""}`, async () => {
    const reader = new FakeReader(8);
    const revs: number[] = [];
    for await (const rows of rowPages(reader, { ...RANGE, ahead })) {
      assert.equal(reader.underWay, ahead ? 1 : 0);
      revs.push(...rows.map(({ rev }) => rev));
    }
    assert.deepEqual(revs, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(reader.asked, [0, 3, 6, 8]);
  });

  Deno.test(`rowPages() leaves nothing under way when its reader stops early${ahead ? ", reading ahead" : ""}`, async () => {
    const reader = new FakeReader(100);
    for await (const rows of rowPages(reader, { ...RANGE, ahead })) {
      if (rows.length > 0) break;
    }
    assert.equal(reader.underWay, 0);
    assert.deepEqual(reader.asked, ahead ? [0, 3] : [0]);
  });
}

Deno.test("rowPages() rejects with what a page that was read ahead failed with", async () => {
  const reader = new FakeReader(100);
  const rows = reader.rows.bind(reader);
  const failing = {
    rows: (page: RowPage) =>
      page.afterRev === 3 ? Promise.reject(new Error("lost")) : rows(page),
  };
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const page of rowPages(failing, { ...RANGE, ahead: true })) {
      await new Promise((resolve) => setTimeout(resolve));
      seen.push(page.length);
    }
  }, { message: "lost" });
  assert.deepEqual(seen, [3]);
});
