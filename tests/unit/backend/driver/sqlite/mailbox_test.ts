import assert from "node:assert/strict";
import {
  Mailbox,
  type SlotBatch,
  SlotOutcome,
} from "../../../../../src/backend/driver/sqlite/mailbox.ts";
import { utf8 } from "../../../../../src/base/bytes.ts";

const BATCH: SlotBatch = {
  request: 7,
  seq: Number.MAX_SAFE_INTEGER,
  id: Uint8Array.from({ length: 16 }, (_, i) => i),
  firstRev: 2 ** 40,
  lastRev: 2 ** 40 + 5,
  timeMs: 1_700_000_000_000,
  rows: utf8("rows"),
  ops: utf8("ops!!"),
};

/** A wait in shared memory alone does not keep Deno's event loop alive; in earnest the worker does. */
function testAlive(name: string, run: () => Promise<void>) {
  Deno.test(name, async () => {
    const alive = setInterval(() => {}, 1000);
    try {
      await run();
    } finally {
      clearInterval(alive);
    }
  });
}

testAlive("Mailbox: what is put on one side is seen on the other", async () => {
  const main = new Mailbox();
  const worker = new Mailbox(main.shared);
  assert.equal(worker.peek(), undefined);
  const rings = worker.rings();
  const outcome = main.put(BATCH);
  assert.notEqual(worker.rings(), rings);
  const seen = worker.peek()!;
  assert.deepEqual(
    {
      ...seen,
      id: seen.id.slice(),
      rows: seen.rows.slice(),
      ops: seen.ops.slice(),
    },
    BATCH,
  );
  worker.finish(SlotOutcome.Conflict);
  assert.equal(worker.peek(), undefined);
  assert.equal(await outcome, SlotOutcome.Conflict);
});

testAlive("Mailbox.put() resolves even if the worker was quicker", async () => {
  const main = new Mailbox();
  const worker = new Mailbox(main.shared);
  for (let i = 0; i < 3; i++) {
    const outcome = main.put(BATCH);
    worker.finish(SlotOutcome.Committed);
    assert.equal(await outcome, SlotOutcome.Committed);
  }
});

testAlive(
  "Mailbox.fits() is true up to the slot's size, and not while it is taken",
  async () => {
    const mailbox = new Mailbox();
    const room = mailbox.shared.byteLength - 64 - 64;
    assert.ok(mailbox.fits(room));
    assert.ok(!mailbox.fits(room + 1));
    const outcome = mailbox.put({
      ...BATCH,
      rows: new Uint8Array(room),
      ops: new Uint8Array(0),
    });
    assert.equal(new Mailbox(mailbox.shared).peek()!.rows.length, room);
    assert.ok(!mailbox.fits(1));
    mailbox.finish(SlotOutcome.Committed);
    assert.equal(await outcome, SlotOutcome.Committed);
    assert.ok(mailbox.fits(1));
  },
);

Deno.test("Mailbox.sleep() returns at once if the bell rang since", () => {
  const mailbox = new Mailbox();
  const rings = mailbox.rings();
  mailbox.ring();
  mailbox.sleep(rings);
});
