import assert from "node:assert/strict";
import { EtcdClient } from "../../support/etcd_client.ts";
import { databaseName } from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { testOnEngines } from "./engines.ts";
import { EventLog } from "./event_log.ts";
import { put, putUntilDone } from "./patient_put.ts";
import { startReplica } from "./start_replica.ts";

testOnEngines(
  "a server whose database is away says so as etcd does, and goes on when it is back",
  async ({ server, makeWire }) => {
    const database = databaseName();
    await using proxy = new FaultProxy(server.url, makeWire);
    const replica = await startReplica(`${proxy.url}/${database}`, 1);
    const address = new URL(replica.clientUrls[0]!).host;
    const client = new EtcdClient(address);
    const log = await EventLog.open(address);
    try {
      await client.put("before", "1");
      proxy.refuse();
      await assert.rejects(put(client, "during"), {
        code: 14,
        details: /^etcdserver: (request timed out|unhealthy cluster)/,
      });
      const { kvs } = await client.range("before", "", {
        serializable: true,
      });
      assert.equal(kvs.length, 1, "what is in memory is not served");
      proxy.accept();
      const revision = await putUntilDone(client, "after");
      await log.readThrough(revision);
      const keys = log.events.map((event) => event.split(" ")[1]);
      assert.deepEqual(keys, ["before", "after"]);
    } finally {
      log[Symbol.dispose]();
      client.close();
      proxy.accept();
      await replica.stop();
      await server.drop(database);
    }
  },
);
