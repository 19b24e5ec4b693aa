import assert from "node:assert/strict";
import type { Backend } from "../../../src/backend/backend.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { makeBatch } from "../../support/batches.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { testOnEngines } from "./engines.ts";
import { isAppend } from "./fault_mix.ts";

testOnEngines(
  "a batch whose answer was lost is no conflict once the log is trimmed",
  async ({ server, makeWire }) => {
    const database = databaseName();
    await using proxy = new FaultProxy(server.url, makeWire);
    const cutOff = openBackend(`${proxy.url}/${database}`, options());
    const other = openBackend(`${server.url}/${database}`, options());
    try {
      await cutOff.open();
      await other.open();
      const executed = loseNextAppend(proxy);
      const appended = cutOff.append(makeBatch(1, 1)).catch(String);
      await executed;
      await goOn(other);
      proxy.accept();
      const outcome = await appended;
      assert.notEqual(outcome, "conflict");
      assert.match(outcome, /Cannot append batch 1: .*trimmed/);
    } finally {
      await cutOff.close();
      await other.close();
      await server.drop(database);
    }
  },
);

function options() {
  return { clock: new SystemClock() };
}

/** The server is away as soon as it has executed the next append; resolves then. */
function loseNextAppend(proxy: FaultProxy): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  proxy.plan = ({ statement }) => {
    if (!isAppend(statement)) return undefined;
    proxy.plan = () => undefined;
    return {
      kind: "cutAfter",
      then: () => {
        proxy.refuse();
        resolve();
      },
    };
  };
  return promise;
}

/** Appends some, and trims all but the last. */
async function goOn(backend: Backend): Promise<void> {
  const last = 5;
  for (let seq = 2; seq <= last; seq++) {
    assert.equal(await backend.append(makeBatch(seq, seq)), "committed");
  }
  await backend.trimBatches(last);
}
