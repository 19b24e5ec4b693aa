import assert from "node:assert/strict";
import { DEFAULT_DATASTORE_SETTINGS } from "../../../src/backend/driver/remote/datastore_settings.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import type { Fault, FaultPlan } from "../../support/fault_proxy_connection.ts";
import { Random, seeds } from "../../support/random.ts";
import { testOnEngines } from "./engines.ts";
import type { EngineErrors } from "./fault_mix.ts";

const SERVERS = 4;
const DELAY_MS = 60;

for (const seed of seeds(2)) {
  testOnEngines(
    `servers that find no database at the same moment all open it through faults, seed ${seed}`,
    async ({ name, server, makeWire, errors }) => {
      const database = databaseName();
      await using proxy = new FaultProxy(server.url, makeWire);
      proxy.plan = planOf(errors[name]!, new Random(seed));
      const backends = Array.from(
        { length: SERVERS },
        () =>
          openBackend(`${proxy.url}/${database}`, {
            clock: new SystemClock(),
          }),
      );
      try {
        const heads = await Promise.all(backends.map((b) => b.open()));
        for (const { seq, revision } of heads) {
          assert.deepEqual({ seq, revision }, { seq: 0, revision: 1 });
        }
      } finally {
        await Promise.all(backends.map((backend) => backend.close()));
        await server.drop(database);
      }
    },
  );
}

testOnEngines(
  "tables are created although all statements together take longer than one may",
  async ({ server, makeWire }) => {
    const database = databaseName();
    await using proxy = new FaultProxy(server.url, makeWire);
    proxy.plan = ({ kind }) =>
      kind === "statement" ? { kind: "delay", ms: DELAY_MS } : undefined;
    const backend = openBackend(`${proxy.url}/${database}`, {
      clock: new SystemClock(),
      datastore: {
        ...DEFAULT_DATASTORE_SETTINGS,
        statementTimeoutMs: 5 * DELAY_MS,
      },
    });
    try {
      assert.equal((await backend.open()).seq, 0);
    } finally {
      await backend.close();
      await server.drop(database);
    }
  },
);

/** One statement in twelve meets a fault that a server gets over. */
function planOf(
  { refusals, commitFailures }: EngineErrors,
  random: Random,
): FaultPlan {
  const faults: readonly Fault[] = [
    { kind: "cutBefore" },
    { kind: "cutAfter" },
    { kind: "error", error: refusals[0]! },
    { kind: "undone", error: commitFailures[0]! },
  ];
  return ({ kind }) =>
    kind === "statement" && random.oneIn(12) ? random.pick(faults) : undefined;
}
