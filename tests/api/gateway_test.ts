import assert from "node:assert/strict";
import { skippedOnReplicas } from "../support/cluster.ts";
import { eventually } from "../support/failure.ts";
import { missingBefore29 } from "../support/server_process.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What the gateway answers to a POST. */
async function post(
  server: TestServer,
  path: string,
  body: string | object,
  headers: Record<string, string> = {},
  // deno-lint-ignore no-explicit-any
): Promise<{ status: number; headers: Headers; json: any }> {
  const response = await fetch(`http://${server.address}${path}`, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers,
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = text;
  }
  return { status: response.status, headers: response.headers, json };
}

/** A streaming call whose request is sent bit by bit, and whose answers are read line by line. */
class LineStream implements AsyncDisposable {
  #text = "";
  #isChunkOpen = true;

  private constructor(readonly connection: Deno.Conn) {}

  static async open(address: string, path: string): Promise<LineStream> {
    const [hostname, port] = address.split(":");
    const connection = await Deno.connect({
      hostname: hostname!,
      port: Number(port),
    });
    const stream = new LineStream(connection);
    await stream.#write(
      `POST ${path} HTTP/1.1\r\nHost: ${address}\r\n` +
        "Transfer-Encoding: chunked\r\n\r\n",
    );
    return stream;
  }

  async send(message: object): Promise<void> {
    const text = JSON.stringify(message);
    await this.#write(`${text.length.toString(16)}\r\n${text}\r\n`);
  }

  async endRequest(): Promise<void> {
    this.#isChunkOpen = false;
    await this.#write("0\r\n\r\n");
  }

  /** The next line of the answer; what surrounds it is HTTP's. */
  // deno-lint-ignore no-explicit-any
  async next(): Promise<any> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const found = /^\{.*\}\n/m.exec(this.#text);
      if (found !== null) {
        this.#text = this.#text.slice(found.index + found[0].length);
        return JSON.parse(found[0]);
      }
      const read = await this.connection.read(buffer);
      if (read === null) throw new Error("the answer has ended");
      // Node sends each write as a chunk of its own: a line is in several.
      this.#text += new TextDecoder().decode(buffer.subarray(0, read))
        .replace(/\r\n[0-9a-f]+\r\n/g, "");
    }
  }

  async #write(text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) {
      at += await this.connection.write(bytes.subarray(at));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isChunkOpen) await this.endRequest().catch(() => {});
    this.connection.close();
  }
}

const B64 = { a: btoa("gw/a"), b: btoa("gw/b"), value: btoa("1") };

Deno.test("the gateway puts and gets, with etcd's JSON", async () => {
  await using server = await startTestServer();
  const put = await post(server, "/v3/kv/put", {
    key: B64.a,
    value: B64.value,
  });
  assert.equal(put.status, 200);
  assert.equal(put.headers.get("content-type"), "application/json");
  assert.equal(
    put.headers.get("grpc-metadata-content-type"),
    "application/grpc",
  );
  const { revision, cluster_id } = put.json.header;
  assert.match(revision, /^[0-9]+$/);
  assert.match(cluster_id, /^[0-9]+$/);
  const range = await post(server, "/v3/kv/range", { key: B64.a, limit: 5 });
  assert.deepEqual(range.json.kvs, [{
    key: B64.a,
    create_revision: range.json.kvs[0].create_revision,
    mod_revision: revision,
    version: range.json.kvs[0].version,
    value: B64.value,
  }]);
  assert.equal(range.json.count, "1");
  const beta = await post(server, "/v3beta/kv/range", { key: B64.a });
  assert.equal(beta.json.count, "1");
  const gone = await post(server, "/v3/kv/deleterange", { key: B64.a });
  assert.equal(gone.json.deleted, "1");
  const none = await post(server, "/v3/kv/range", { key: B64.a });
  assert.deepEqual(Object.keys(none.json), ["header"]);
});

Deno.test("the gateway evaluates transactions", async () => {
  await using server = await startTestServer();
  await post(server, "/v3/kv/deleterange", { key: B64.b });
  const { json } = await post(server, "/v3/kv/txn", {
    compare: [{
      key: B64.b,
      result: "EQUAL",
      target: "VERSION",
      version: "0",
    }],
    success: [
      { requestPut: { key: B64.b, value: B64.value } },
      { request_range: { key: B64.b } },
      { request_txn: { success: [{ request_put: { key: B64.a } }] } },
    ],
  });
  assert.equal(json.succeeded, true);
  assert.equal(json.responses.length, 3);
  assert.equal(json.responses[1].response_range.count, "1");
  const inner = json.responses[2].response_txn.responses[0];
  assert.deepEqual(Object.keys(inner), ["response_put"]);
});

Deno.test("the gateway's errors have etcd's form, with the HTTP status of the code", async () => {
  await using server = await startTestServer();
  const cases: [string, string, number, object][] = [
    ["/v3/kv/range", "", 400, {
      code: 3,
      message: "etcdserver: key is not provided",
    }],
    ["/v3/kv/range", '{"key":', 400, { code: 3, message: "unexpected EOF" }],
    ["/v3/kv/rangestream", "{}", 404, { code: 5, message: "Not Found" }],
    ["/v3/nothing", "{}", 404, { code: 5, message: "Not Found" }],
    ["/v3/lease/revoke", '{"ID":"77"}', 404, {
      code: 5,
      message: "etcdserver: requested lease not found",
    }],
    ["/v3/kv/compaction", '{"revision":"99999999"}', 400, {
      code: 11,
      message: "etcdserver: mvcc: required revision is a future revision",
    }],
    ["/v3/auth/authenticate", '{"name":"x","password":"y"}', 400, {
      code: 9,
      message: "etcdserver: authentication is not enabled",
    }],
  ];
  for (const [path, body, status, json] of cases) {
    const answer = await post(server, path, body);
    assert.deepEqual(answer.json, json, path);
    assert.equal(answer.status, status, path);
    assert.equal(answer.headers.get("content-type"), "application/json");
  }
  const get = await fetch(`http://${server.address}/v3/kv/range`);
  assert.equal(get.status, 501);
  assert.deepEqual(await get.json(), {
    code: 12,
    message: "Method Not Allowed",
  });
  const late = await post(server, "/v3/kv/range", { key: B64.a }, {
    "Grpc-Timeout": "1n",
  });
  assert.equal(late.status, 504);
});

Deno.test("the gateway refuses requests that are too large, in both sizes", async () => {
  await using server = await startTestServer();
  const put = (bytes: number) =>
    post(server, "/v3/kv/put", {
      key: B64.a,
      value: "A".repeat(Math.ceil(bytes / 3) * 4),
    });
  assert.equal((await put(1_500_000)).status, 200);
  const tooLarge = await put(1_600_000);
  assert.equal(tooLarge.status, 400);
  assert.equal(tooLarge.json.message, "etcdserver: request is too large");
  const muchTooLarge = await put(2_200_000);
  assert.equal(muchTooLarge.status, 429);
  assert.match(
    muchTooLarge.json.message,
    /^grpc: received message larger than/,
  );
  const { json } = await post(server, "/v3/kv/range", { key: B64.a });
  assert.equal(json.kvs[0].value.length, 2_000_000);
});

Deno.test("the gateway watches: a line for each answer, past the request's end", async () => {
  await using server = await startTestServer();
  await using stream = await LineStream.open(server.address, "/v3/watch");
  await stream.send({ create_request: { key: B64.a } });
  await stream.send({ create_request: { key: B64.b, watch_id: "7" } });
  await stream.endRequest();
  assert.equal((await stream.next()).result.created, true);
  assert.equal((await stream.next()).result.watch_id, "7");
  await server.client.put("gw/b", "2");
  const [event] = (await stream.next()).result.events;
  assert.equal(event.kv.value, btoa("2"));
  await server.client.put("gw/a", "3");
  assert.equal((await stream.next()).result.events[0].kv.key, B64.a);
});

Deno.test({
  name: "the gateway answers while the request goes on",
  // Go's net/http reads the request to its end before it answers.
  ignore: Deno.env.has("STELE_TEST_ENDPOINT"),
  async fn() {
    await using server = await startTestServer();
    await using stream = await LineStream.open(server.address, "/v3/watch");
    await stream.send({ create_request: { key: B64.a, watch_id: "7" } });
    assert.equal((await stream.next()).result.created, true);
    await server.client.put("gw/a", "2");
    assert.equal((await stream.next()).result.events.length, 1);
    await stream.send({ cancel_request: { watch_id: 7 } });
    assert.equal((await stream.next()).result.canceled, true);
  },
});

Deno.test({
  name: "a client that goes away takes its watch with it",
  ignore: skippedOnReplicas("what one server counts"),
  async fn() {
    await using server = await startTestServer();
    const watchers = async () => {
      const metrics = await fetch(`http://${server.address}/metrics`);
      const line = /^etcd_debugging_mvcc_watcher_total (\d+)/m;
      return Number(line.exec(await metrics.text())![1]);
    };
    const before = await watchers();
    const stream = await LineStream.open(server.address, "/v3/watch");
    await stream.send({ create_request: { key: B64.a } });
    await stream.endRequest();
    await stream.next();
    assert.equal(await watchers(), before + 1);
    stream.connection.close();
    await eventually("no watcher", async () => await watchers() === before);
  },
});

Deno.test("the gateway keeps leases alive and streams snapshots", async () => {
  await using server = await startTestServer();
  const { json: lease } = await post(server, "/v3/lease/grant", { TTL: 60 });
  const alive = await post(server, "/v3/lease/keepalive", { ID: lease.ID });
  assert.equal(alive.json.result.ID, lease.ID);
  assert.equal(alive.json.result.TTL, "60");
  for (const path of ["/v3/kv/lease/timetolive", "/v3/lease/timetolive"]) {
    const { json } = await post(server, path, { ID: lease.ID });
    assert.equal(json.grantedTTL, "60");
  }
  const response = await fetch(
    `http://${server.address}/v3/maintenance/snapshot`,
    { method: "POST" },
  );
  const lines = (await response.text()).trim().split("\n");
  assert.ok(lines.length > 0);
  for (const line of lines) {
    assert.ok(JSON.parse(line).result.blob.length > 0);
  }
});

Deno.test({
  name: "a WebSocket watches, a message for each request and each answer",
  ignore: missingBefore29("WebSocket"),
  async fn() {
    await using server = await startTestServer();
    const socket = new WebSocket(`ws://${server.address}/v3/watch`, [
      "Bearer",
      "token",
    ]);
    // deno-lint-ignore no-explicit-any
    const answers: any[] = [];
    socket.onmessage = ({ data }) => answers.push(JSON.parse(data));
    await new Promise((resolve) => socket.onopen = resolve);
    assert.equal(socket.protocol, "Bearer");
    socket.send(JSON.stringify({ create_request: { key: B64.a } }));
    await eventually("created", () => answers.length === 1);
    assert.equal(answers[0].result.created, true);
    await server.client.put("gw/a", "ws");
    await eventually("an event", () => answers.length === 2);
    assert.equal(answers[1].result.events[0].kv.value, btoa("ws"));
    const closed = new Promise((resolve) => socket.onclose = resolve);
    socket.close();
    await closed;
  },
});

Deno.test({
  name: "a WebSocket to a path that does not exist says so",
  ignore: missingBefore29("WebSocket"),
  async fn() {
    await using server = await startTestServer();
    const socket = new WebSocket(`ws://${server.address}/v3/nothing`);
    const message = new Promise<string>((resolve) =>
      socket.onmessage = ({ data }) => resolve(data)
    );
    const closed = new Promise((resolve) => socket.onclose = resolve);
    assert.deepEqual(JSON.parse(await message), {
      code: 5,
      message: "Not Found",
    });
    await closed;
  },
});

Deno.test({
  name: "the gateway's streams end with an error when the server stops",
  ignore: Deno.env.has("STELE_TEST_ENDPOINT"),
  async fn() {
    const server = await startTestServer();
    await using stream = await LineStream.open(server.address, "/v3/watch");
    await stream.send({ create_request: { key: B64.a } });
    await stream.next();
    const stopped = server[Symbol.asyncDispose]();
    assert.deepEqual(await stream.next(), {
      error: { code: 14, message: "etcdserver: server stopped" },
    });
    await stopped;
  },
});

Deno.test({
  name: "--enable-grpc-gateway=false leaves no gateway",
  ignore: Deno.env.has("STELE_TEST_ENDPOINT"),
  async fn() {
    await using server = await startTestServer({ enableGrpcGateway: false });
    const { status, json } = await post(server, "/v3/kv/range", {});
    assert.equal(status, 404);
    assert.equal(json, "404 page not found\n");
  },
});

Deno.test({
  name: "--cors and --host-whitelist hold for the gateway",
  ignore: Deno.env.has("STELE_TEST_ENDPOINT"),
  async fn() {
    await using server = await startTestServer({
      cors: ["http://page.example"],
      hostWhitelist: ["other.example"],
    });
    const refused = await post(server, "/v3/kv/range", { key: B64.a });
    assert.equal(refused.status, 421);
    if (missingBefore29("WebSocket")) return;
    // Nor is there a WebSocket to be had.
    const socket = new WebSocket(`ws://${server.address}/v3/watch`);
    let isOpen = false;
    socket.onopen = () => isOpen = true;
    await new Promise((resolve) => socket.onclose = resolve);
    assert.equal(isOpen, false);
  },
});
