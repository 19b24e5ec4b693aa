import assert from "node:assert/strict";
import { skippedOnReplicas } from "../support/cluster.ts";
import { eventually } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";
import { parseExposition } from "../support/exposition.ts";

Deno.test("one port speaks gRPC and HTTP/1.1", async () => {
  await using server = await startTestServer();
  const get = async (path: string) => {
    const response = await fetch(`http://${server.address}${path}`);
    return { status: response.status, body: await response.text() };
  };
  await server.client.put("k", "v");
  assert.deepEqual(await get("/health"), {
    status: 200,
    body: '{"health":"true","reason":""}',
  });
  assert.equal((await get("/livez")).body, "ok\n");
  assert.match((await get("/readyz?verbose")).body, /^\[\+\].* ok\n/);
  assert.match((await get("/version")).body, /"etcdserver":"3\.7\.\d+"/);
  assert.equal((await get("/nothing")).status, 404);
});

Deno.test({
  name: "/metrics counts what was done, under etcd's names",
  ignore: skippedOnReplicas("what one server counted"),
  async fn() {
    await using server = await startTestServer();
    await server.client.put("k", "v");
    await server.client.range("k");
    const response = await fetch(`http://${server.address}/metrics`);
    const text = await response.text();
    const value = (line: string) => {
      const found = text.split("\n").find((l) => l.startsWith(line + " "));
      return found === undefined ? undefined : Number(found.split(" ").at(-1));
    };
    assert.ok(parseExposition(text), "the exposition is well-formed");
    assert.equal(value("etcd_server_has_leader"), 1);
    assert.equal(value("etcd_debugging_mvcc_keys_total"), 1);
    assert.equal(value("etcd_mvcc_put_total"), 1);
    assert.equal(
      value(
        'grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}',
      ),
      1,
    );
  },
});

Deno.test("alarms turn /health red and leave /readyz alone", async () => {
  await using server = await startTestServer();
  const { maintenance } = server.client;
  await maintenance.call("Alarm", { action: "ACTIVATE", alarm: "NOSPACE" });
  // Of several servers, the one that answers may not have heard yet; so it is on etcd.
  let health = await fetch(`http://${server.address}/health`);
  await eventually("/health is red", async () => {
    if (health.status === 503) return true;
    await health.body?.cancel();
    health = await fetch(`http://${server.address}/health`);
    return health.status === 503;
  });
  assert.match(
    await health.text(),
    /"health":"false","reason":"ALARM NOSPACE"/,
  );
  const excluded = await fetch(
    `http://${server.address}/health?exclude=NOSPACE`,
  );
  assert.equal(excluded.status, 200);
  await excluded.body?.cancel();
  const ready = await fetch(`http://${server.address}/readyz`);
  assert.equal(ready.status, 200);
  await ready.body?.cancel();
  await maintenance.call("Alarm", { action: "DEACTIVATE", alarm: "NOSPACE" });
});
