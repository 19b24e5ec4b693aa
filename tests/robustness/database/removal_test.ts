import assert from "node:assert/strict";
import type { Backend, RowId } from "../../../src/backend/backend.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { makeBatch, rowsOf } from "../../support/batches.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { Random, seeds } from "../../support/random.ts";
import { testOnEngines } from "./engines.ts";
import { faultMix } from "./fault_mix.ts";

const BATCHES = 20;
const ROWS_PER_BATCH = 20;
/** Rows that one call removes. */
const SLICE = 25;

for (const seed of seeds(1)) {
  testOnEngines(
    `removals through faults remove what they should, count it once, and keep the rest, seed ${seed}`,
    async ({ name, server, makeWire, errors }) => {
      const random = new Random(seed);
      const database = databaseName();
      await using proxy = new FaultProxy(server.url, makeWire);
      const backend = open(`${proxy.url}/${database}`);
      const clean = open(`${server.url}/${database}`);
      try {
        await backend.open();
        await clean.open();
        const [removed, kept] = await fill(clean, random);
        const emptyBytes = await bytesOf(clean) - sizeOf(removed.length) -
          sizeOf(kept.length);
        proxy.plan = faultMix(errors[name]!, random, {
          appendsOneIn: 1,
          othersOneIn: 3,
          silentOneIn: 0,
        });
        await removeAll(backend, removed);
        await insist(() => backend.trimBatches(BATCHES));
        const left = rowsOf(await clean.eventsAfter(0, 1e9));
        assert.deepEqual(left.map(({ rev, sub }) => ({ rev, sub })), kept);
        const bytes = await bytesOf(clean) - emptyBytes;
        assert.equal(bytes, sizeOf(kept.length), "bytes are miscounted");
        const batches = await clean.batchesAfter(0, BATCHES);
        assert.deepEqual(batches.map(({ seq }) => seq), [BATCHES]);
      } finally {
        await backend.close();
        await clean.close();
        await server.drop(database);
      }
    },
  );
}

/** Appends batches whose rows are all of one size; splits them into those to be removed and those to be kept. */
async function fill(
  backend: Backend,
  random: Random,
): Promise<[RowId[], RowId[]]> {
  const removed: RowId[] = [];
  const kept: RowId[] = [];
  let rev = 1;
  for (let seq = 1; seq <= BATCHES; seq++) {
    const shape = { rows: ROWS_PER_BATCH, valueBytes: VALUE_BYTES };
    await backend.append(makeBatch(seq, rev, shape));
    for (let i = 0; i < ROWS_PER_BATCH; i++) {
      (random.oneIn(2) ? removed : kept).push({ rev: ++rev, sub: 0 });
    }
  }
  return [removed, kept];
}

/** A row more than once, as compaction does after a failure. */
async function removeAll(
  backend: Backend,
  rows: readonly RowId[],
): Promise<void> {
  for (let at = 0; at < rows.length; at += SLICE - 5) {
    const slice = rows.slice(at, at + SLICE);
    await insist(() => backend.remove(slice));
  }
}

/** Until it succeeds: some of the faults are not for the driver to bear. */
async function insist(run: () => Promise<void>): Promise<void> {
  for (let failures = 0;; failures++) {
    try {
      return await run();
    } catch (error) {
      if (failures === MAX_FAILURES) throw error;
    }
  }
}

const MAX_FAILURES = 20;

async function bytesOf(backend: Backend): Promise<number> {
  return (await backend.size()).inUseBytes;
}

const VALUE_BYTES = 100;
/** As the drivers count: key, value, and 40 for the numbers. */
const ROW_BYTES = "/registry/things/default/000000000000".length +
  VALUE_BYTES + 40;

function sizeOf(rows: number): number {
  return rows * ROW_BYTES;
}

function open(url: string): Backend {
  return openBackend(url, { clock: new SystemClock() });
}
