import assert from "node:assert/strict";
import type { Batch } from "../../../src/backend/backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { makeBatch } from "../../support/batches.ts";
import { BatchLedger } from "./batch_ledger.ts";

/** Two batches that were tried, and of which the database has one. */
async function setUp() {
  const backend = new MemoryBackend();
  await backend.open();
  const there = makeBatch(1, 1);
  const missing = makeBatch(2, 2);
  const ledger = new BatchLedger();
  for (const batch of [there, missing]) ledger.tried(batch);
  await backend.append(copy(there));
  return { backend, ledger, there, missing };
}

/** Backends keep what they are given. */
function copy(batch: Batch): Batch {
  return { ...batch, rows: batch.rows.slice() };
}

Deno.test("BatchLedger.check() accepts what was acknowledged, and what was never answered", async () => {
  const { backend, ledger, there } = await setUp();
  await ledger.check(backend);
  ledger.answered(there.id, "committed");
  await ledger.check(backend);
});

Deno.test("BatchLedger.check() finds a batch that was acknowledged and is not there", async () => {
  const { backend, ledger, missing } = await setUp();
  ledger.answered(missing.id, "committed");
  await assert.rejects(ledger.check(backend), /lost: batch 2/);
});

Deno.test("BatchLedger.check() finds a batch that was refused and is there", async () => {
  const { backend, ledger, there } = await setUp();
  ledger.answered(there.id, "conflict");
  await assert.rejects(ledger.check(backend), /committed after all/);
});

Deno.test("BatchLedger.check() finds a batch that nobody tried, and one with other rows", async () => {
  const stranger = await setUp();
  await stranger.backend.append(makeBatch(2, 2));
  await assert.rejects(
    stranger.ledger.check(stranger.backend),
    /nobody appended batch 2/,
  );
  const changed = await setUp();
  const { rows } = makeBatch(2, 2, { valueBytes: 1 });
  await changed.backend.append({ ...changed.missing, rows });
  await assert.rejects(
    changed.ledger.check(changed.backend),
    /batch 2 has other rows/,
  );
});

Deno.test("BatchLedger finds two acknowledged batches with one number", async () => {
  const { ledger, there } = await setUp();
  const rival = makeBatch(1, 1);
  ledger.tried(rival);
  ledger.answered(there.id, "committed");
  assert.throws(
    () => ledger.answered(rival.id, "committed"),
    /two batches 1/,
  );
});
