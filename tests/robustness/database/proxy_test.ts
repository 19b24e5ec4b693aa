import assert from "node:assert/strict";
import type { Backend } from "../../../src/backend/backend.ts";
import { DEFAULT_DATASTORE_SETTINGS } from "../../../src/backend/driver/remote/datastore_settings.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { makeBatch } from "../../support/batches.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import type { Fault } from "../../support/fault_proxy_connection.ts";
import { type FaultyEngine, testOnEngines } from "./engines.ts";
import { isAppend } from "./fault_mix.ts";

/** Short, since some faults last so long. */
const STATEMENT_TIMEOUT_MS = 300;

testOnEngines(
  "FaultProxy: the server has executed what it should have, and nothing else",
  async (engine) => {
    const database = databaseName();
    await using proxy = new FaultProxy(engine.server.url, engine.makeWire);
    const behind = open(`${proxy.url}/${database}`);
    const beside = open(`${engine.server.url}/${database}`);
    try {
      await behind.open();
      await beside.open();
      let seq = 0;
      for (const [fault, isExecuted] of faultsOf(engine)) {
        const tried = failFirstAppend(proxy, fault);
        const appended = behind.append(makeBatch(++seq, seq));
        await tried;
        if (fault.kind === "late") await arrival(beside, seq);
        const found = await beside.batchIdAt(seq);
        proxy.plan = () => undefined;
        assert.equal(found !== undefined, isExecuted, fault.kind);
        assert.equal(await appended, "committed", fault.kind);
      }
      assert.equal((await beside.head()).seq, seq);
    } finally {
      await behind.close();
      await beside.close();
      await engine.server.drop(database);
    }
  },
);

/** Every fault of an append, and whether the server executes it all the same. */
function faultsOf({ name, errors }: FaultyEngine): [Fault, boolean][] {
  const { refusals, commitFailures, losses } = errors[name]!;
  return [
    [{ kind: "cutBefore" }, false],
    [{ kind: "cutAfter" }, true],
    [{ kind: "cutInAnswer", share: 0.5 }, true],
    [{ kind: "error", error: refusals[0]! }, false],
    [{ kind: "undone", error: commitFailures[0]! }, false],
    [{ kind: "errorAfter", error: losses[0]! }, true],
    [{ kind: "drop" }, false],
    [{ kind: "dropAnswer" }, true],
    [{ kind: "late", ms: 0 }, true],
  ];
}

/** The next append meets the fault, those behind it never arrive; resolves with the first of these. */
function failFirstAppend(proxy: FaultProxy, fault: Fault): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isFirst = true;
  proxy.plan = ({ statement }) => {
    if (!isAppend(statement)) return undefined;
    if (isFirst) {
      isFirst = false;
      return fault;
    }
    resolve();
    return { kind: "cutBefore" };
  };
  return promise;
}

/** Waits for a batch that is still on its way. */
async function arrival(backend: Backend, seq: number): Promise<void> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if ((await backend.head()).seq >= seq) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const MAX_TRIES = 100;

function open(url: string): Backend {
  return openBackend(url, {
    clock: new SystemClock(),
    datastore: {
      ...DEFAULT_DATASTORE_SETTINGS,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    },
  });
}
