import assert from "node:assert/strict";
import type { Backend } from "../../../src/backend/backend.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { makeBatch } from "../../support/batches.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { testOnEngines } from "./engines.ts";

const BATCHES = 3;
/** An answer is cut behind this share of it, and this much further the next time. */
const STEP = 0.1;

/** Whatever needs the database. */
const READS: Record<string, (backend: Backend) => Promise<unknown>> = {
  "head()": async (backend) => {
    const { seq, revision } = await backend.head();
    return { seq, revision };
  },
  "batchIdAt()": (backend) => backend.batchIdAt(2),
  "batchesAfter()": (backend) => backend.batchesAfter(1, 100),
  "valuesOf()": (backend) => backend.valuesOf([{ rev: 3, sub: 0 }]),
  "eventsAfter()": (backend) => backend.eventsAfter(1, 1_000_000),
};

testOnEngines(
  "answers that are cut anywhere are read again, whole",
  async (engine) => {
    const database = databaseName();
    await using proxy = new FaultProxy(engine.server.url, engine.makeWire);
    const backend = openBackend(`${proxy.url}/${database}`, {
      clock: new SystemClock(),
    });
    try {
      await backend.open();
      for (let seq = 1; seq <= BATCHES; seq++) {
        await backend.append(makeBatch(seq, seq));
      }
      for (const [name, read] of Object.entries(READS)) {
        await readThroughCuts(proxy, () => read(backend), name);
      }
    } finally {
      await backend.close();
      await engine.server.drop(database);
    }
  },
);

/** Cuts the first answer of each reading, a little later each time. */
async function readThroughCuts(
  proxy: FaultProxy,
  read: () => Promise<unknown>,
  name: string,
): Promise<void> {
  const expected = await read();
  for (let share = 0; share < 1; share += STEP) {
    let isCut = false;
    proxy.plan = ({ kind }) => {
      if (isCut || kind !== "statement") return undefined;
      isCut = true;
      return { kind: "cutInAnswer", share };
    };
    assert.deepEqual(await read(), expected, `${name}, cut at ${share}`);
    assert(isCut, `${name} asked nothing`);
  }
  proxy.plan = () => undefined;
}
