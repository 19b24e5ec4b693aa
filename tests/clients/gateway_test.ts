import assert from "node:assert/strict";
import { startTestServer } from "../support/server.ts";
import { skip } from "./tool.ts";

/** JSON over HTTP/1.1, as `curl` and the clients of languages without gRPC speak it. */
class Gateway {
  constructor(readonly address: string) {}

  fetch(
    path: string,
    body: unknown,
    init: RequestInit = {},
  ): Promise<Response> {
    return fetch(`http://${this.address}/v3/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      ...init,
    });
  }

  /** A unary call: its status and the answer. */
  // deno-lint-ignore no-explicit-any
  async call(path: string, body: unknown = {}): Promise<[number, any]> {
    const response = await this.fetch(path, body);
    return [response.status, await response.json()];
  }
}

function gatewayTest(
  name: string,
  test: (gateway: Gateway, prefix: string) => Promise<void>,
) {
  Deno.test(`JSON gateway: ${name}`, async () => {
    await using server = await startTestServer();
    const gateway = new Gateway(server.address);
    const probe = await gateway.fetch("kv/range", { key: btoa("k") });
    await probe.body?.cancel();
    if (probe.status === 404) return skip("the server has no gateway yet");
    await test(gateway, `/${crypto.randomUUID()}/`);
  });
}

gatewayTest("put, range, delete", async (gateway, prefix) => {
  const key = btoa(`${prefix}k`);
  const [status, put] = await gateway.call("kv/put", { key, value: btoa("v") });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(put), ["header"]);
  assert.match(put.header.revision, /^\d+$/);
  assert.match(put.header.cluster_id, /^\d+$/);
  const [, again] = await gateway.call("kv/put", {
    key,
    value: btoa("w"),
    prev_kv: true,
  });
  assert.equal(again.prev_kv.value, btoa("v"));
  const [, found] = await gateway.call("kv/range", { key });
  assert.deepEqual(found, {
    header: found.header,
    kvs: [{
      key,
      create_revision: put.header.revision,
      mod_revision: again.header.revision,
      version: "2",
      value: btoa("w"),
    }],
    count: "1",
  });
  const [, none] = await gateway.call("kv/range", {
    key: btoa(`${prefix}none`),
  });
  assert.deepEqual(Object.keys(none), ["header"]);
  const [, sorted] = await gateway.call("kv/range", {
    key: btoa(prefix),
    rangeEnd: btoa(prefix.replace(/\/$/, "0")),
    sortOrder: "DESCEND",
    sort_target: "VALUE",
    keysOnly: true,
    limit: "5",
  });
  assert.deepEqual(sorted.kvs.map((kv: { value?: string }) => kv.value), [
    undefined,
  ]);
  const [, deleted] = await gateway.call("kv/deleterange", { key });
  assert.equal(deleted.deleted, "1");
});

gatewayTest("transactions", async (gateway, prefix) => {
  const key = btoa(`${prefix}k`);
  const [status, taken] = await gateway.call("kv/txn", {
    compare: [{ target: "VERSION", result: "EQUAL", key, version: "0" }],
    success: [{ requestPut: { key, value: btoa("v") } }, {
      request_range: { key },
    }],
    failure: [{ requestRange: { key } }],
  });
  assert.equal(status, 200);
  assert.equal(taken.succeeded, true);
  assert.deepEqual(taken.responses[0], {
    response_put: { header: { revision: taken.header.revision } },
  });
  assert.equal(taken.responses[1].response_range.count, "1");
});

gatewayTest("leases", async (gateway) => {
  const [, lease] = await gateway.call("lease/grant", { TTL: "60" });
  assert.equal(lease.TTL, "60");
  const [, alive] = await gateway.call("lease/timetolive", {
    ID: lease.ID,
    keys: true,
  });
  assert.equal(alive.grantedTTL, "60");
  const [, renewed] = await gateway.call("lease/keepalive", { ID: lease.ID });
  assert.equal(renewed.result.TTL, "60");
  const [, listed] = await gateway.call("kv/lease/leases");
  assert(listed.leases.some((each: { ID: string }) => each.ID === lease.ID));
  assert.equal((await gateway.call("lease/revoke", { ID: lease.ID }))[0], 200);
  const [status, error] = await gateway.call("lease/revoke", { ID: lease.ID });
  assert.deepEqual([status, error], [404, {
    code: 5,
    message: "etcdserver: requested lease not found",
  }]);
});

gatewayTest("errors", async (gateway) => {
  assert.deepEqual(await gateway.call("kv/put", { value: btoa("v") }), [400, {
    code: 3,
    message: "etcdserver: key is not provided",
  }]);
  assert.deepEqual(
    await gateway.call("kv/range", {
      key: btoa("k"),
      revision: "1099511627776",
    }),
    [400, {
      code: 11,
      message: "etcdserver: mvcc: required revision is a future revision",
    }],
  );
  const [unknown] = await gateway.call("kv/nothing").catch(() => [404]);
  assert.equal(unknown, 404);
  const malformed = await gateway.fetch("kv/range", {}, { body: "{" });
  assert.equal(malformed.status, 400);
  assert.equal((await malformed.json()).code, 3);
  const got = await gateway.fetch("kv/range", {}, {
    method: "GET",
    body: null,
  });
  await got.body?.cancel();
  assert.equal(got.status, 501);
});

gatewayTest("watches", async (gateway, prefix) => {
  const key = btoa(`${prefix}k`);
  const [, put] = await gateway.call("kv/put", { key, value: btoa("v") });
  const abort = new AbortController();
  const response = await gateway.fetch("watch", {
    create_request: { key, start_revision: put.header.revision },
  }, { signal: abort.signal });
  const lines = response.body!.pipeThrough(new TextDecoderStream());
  let text = "";
  for await (const part of lines) {
    text += part;
    if (text.split("\n").length > 2) break;
  }
  abort.abort();
  const [created, event] = text.split("\n").map((line) =>
    line && JSON.parse(line)
  );
  assert.equal(created.result.created, true);
  assert.deepEqual(event.result.events, [{
    kv: {
      key,
      create_revision: put.header.revision,
      mod_revision: put.header.revision,
      version: "1",
      value: btoa("v"),
    },
  }]);
});

gatewayTest("cluster, maintenance and authentication", async (gateway) => {
  const [, members] = await gateway.call("cluster/member/list");
  assert.equal(members.members[0].ID, members.header.member_id);
  const [, status] = await gateway.call("maintenance/status");
  assert.match(status.version, /^3\.\d+\.\d+$/);
  assert.match(status.dbSize, /^\d+$/);
  const [, auth] = await gateway.call("auth/status");
  assert.match(auth.authRevision, /^\d+$/);
  assert.equal(auth.enabled, undefined);
  const [code] = await gateway.call("maintenance/defragment");
  assert.equal(code, 200);
});
