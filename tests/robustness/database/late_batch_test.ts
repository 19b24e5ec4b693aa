import assert from "node:assert/strict";
import type { Backend } from "../../../src/backend/backend.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { databaseName } from "../../support/database_server.ts";
import { EtcdClient } from "../../support/etcd_client.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { testOnEngines } from "./engines.ts";
import { EventLog } from "./event_log.ts";
import { isAppend } from "./fault_mix.ts";
import { put, putUntilDone } from "./patient_put.ts";
import { startReplica } from "./start_replica.ts";

/** From when the server hangs up. */
const LATE_MS = 500;

testOnEngines(
  "a write that arrives when its client was told of a failure is done once, and seen",
  async ({ server, makeWire }) => {
    const database = databaseName();
    await using proxy = new FaultProxy(server.url, makeWire);
    const replica = await startReplica(`${proxy.url}/${database}`, 1);
    const address = new URL(replica.clientUrls[0]!).host;
    const client = new EtcdClient(address);
    const log = await EventLog.open(address);
    const beside = openBackend(`${server.url}/${database}`, {
      clock: new SystemClock(),
    });
    await beside.open();
    try {
      await client.put("before");
      const { seq } = await beside.head();
      holdNextAppend(proxy);
      await assert.rejects(put(client, "late"), { code: 14 });
      await arrival(beside, seq + 1);
      proxy.plan = () => undefined;
      // The watch is told of it without another write.
      await log.readThrough(3);
      const revision = await putUntilDone(client, "after");
      await log.readThrough(revision);
      const { kvs } = await client.range("\0", "\0");
      const rows = log.events.map((event) => event.split(" ")[1]);
      assert.deepEqual(rows, ["before", "late", "after"]);
      for (const kv of kvs) assert.equal(kv.version, "1");
    } finally {
      log[Symbol.dispose]();
      client.close();
      await beside.close();
      await replica.stop();
      await server.drop(database);
    }
  },
);

/** Waits for a batch that is still on its way. */
async function arrival(backend: Backend, seq: number): Promise<void> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if ((await backend.head()).seq >= seq) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`batch ${seq} never arrived`);
}

const MAX_TRIES = 300;

/** The next append is on its way for long, and all else is lost until the plan changes. */
function holdNextAppend(proxy: FaultProxy): void {
  let isHeld = false;
  proxy.plan = ({ kind, statement }) => {
    if (isHeld) return { kind: "cutBefore" };
    if (kind !== "statement" || !isAppend(statement)) return undefined;
    isHeld = true;
    return { kind: "late", ms: LATE_MS };
  };
}
