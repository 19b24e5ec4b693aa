import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { text, utf8 } from "../../src/base/bytes.ts";
import {
  EtcdClient,
  type Message,
  WatchClient,
} from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

/** A server that the tests cannot stop. */
const IS_EXTERNAL = Deno.env.has("STELE_TEST_ENDPOINT");

Deno.test("hundreds of calls share a connection", async () => {
  await using server = await startTestServer();
  const { client } = server;
  await Promise.all(
    Array.from({ length: 500 }, (_, i) => client.put(`k${i}`, `${i}`)),
  );
  assert.equal(
    (await client.range("k", "l", { count_only: true })).count,
    "500",
  );
});

Deno.test("large values go both ways", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const value = "x".repeat(1_400_000);
  for (const key of ["a", "b", "c", "d"]) await client.put(key, value);
  const { kvs } = await client.range("a", "z");
  assert.deepEqual(
    kvs.map((kv: Message) => kv.value.length),
    Array(4).fill(1_400_000),
  );
});

Deno.test("requests may be compressed", async () => {
  await using server = await startTestServer();
  using client = new EtcdClient(server.address, {
    "grpc.default_compression_algorithm": 2,
  });
  await client.put("k", "v".repeat(10_000));
  assert.equal((await client.range("k")).kvs[0].value.length, 10_000);
});

Deno.test("a deadline ends a call, and a cancelled watch leaves no watcher", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const late = client.lease.stream("LeaseKeepAlive", new grpc.Metadata(), {
    deadline: Date.now() + 200,
  });
  const [error] = await once(late, "error");
  assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("k") });
  await watch.cancel();
  await eventually("no watcher is left", async () => {
    const response = await fetch(`http://${server.address}/metrics`);
    return /^etcd_debugging_mvcc_watcher_total 0$/m.test(await response.text());
  });
});

Deno.test("a watch ends at its deadline, after what it has sent", async () => {
  await using server = await startTestServer();
  const deadline = Date.now() + 500;
  const watch = new WatchClient(
    server.client.watch.stream("Watch", new grpc.Metadata(), { deadline }),
  );
  await watch.create({ key: Buffer.from("k") });
  await server.client.put("k", "v");
  assert.equal((await watch.events(1))[0]!.kv.value.toString(), "v");
  const { code } = await failure(watch.next());
  assert.equal(code, grpc.status.DEADLINE_EXCEEDED);
});

Deno.test("a call that its client cancels harms no other call on the connection", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const kv = client.kv;
  const cancelled = Array.from({ length: 50 }, (_, i) => {
    const key = Buffer.from(`c${i}`);
    const call = kv.stream("Put", { key, value: key }, () => {});
    call.cancel();
    return call;
  });
  await Promise.all(
    Array.from({ length: 50 }, (_, i) => client.put(`k${i}`, "v")),
  );
  assert.equal(cancelled.length, 50);
  const { count } = await client.range("k", "l", { count_only: true });
  assert.equal(count, "50");
});

Deno.test("metadata of all kinds is taken, and texts that are no ASCII come back", async () => {
  await using server = await startTestServer();
  const metadata = new grpc.Metadata();
  metadata.set("x-text", "some text");
  metadata.set("x-blob-bin", Buffer.from([0, 255, 44, 10]));
  const { client } = server;
  await client.kv.call("Range", { key: Buffer.from("k") }, {}, metadata);
  const path = "/test.\u00e9t\u00e9/\u00fc%20";
  const answer = await failure(rawCall(server.address, path, metadata));
  assert.equal(answer.code, grpc.status.UNIMPLEMENTED);
  // The client sends latin1 on Deno 2.9, which is no UTF-8, and UTF-8 on 2.7.
  assert.match(answer.message, /^unknown service test\.(\ufffdt|\u00e9t)/);
});

Deno.test("what is not there is unimplemented, and says so", async () => {
  await using server = await startTestServer();
  const call = (path: string) => rawCall(server.address, path);
  assert.deepEqual(await failure(call("/etcdserverpb.KV/Nothing")), {
    code: 12,
    message: "unknown method Nothing for service etcdserverpb.KV",
  });
  assert.deepEqual(await failure(call("/some.Service/Method")), {
    code: 12,
    message: "unknown service some.Service",
  });
});

Deno.test("health answers Check and Watch for the server as a whole", async () => {
  await using server = await startTestServer();
  const { health } = server.client;
  assert.equal((await health.call("Check")).status, "SERVING");
  assert.equal((await failure(health.call("Check", { service: "x" }))).code, 5);
  const watch = health.stream("Watch", {});
  assert.equal((await once(watch, "data"))[0].status, "SERVING");
  watch.on("error", () => {});
  watch.cancel();
});

Deno.test("reflection lists the services and describes them", async () => {
  await using server = await startTestServer();
  const definition = loader.loadSync("grpc/reflection/v1/reflection.proto", {
    includeDirs: [new URL("../../proto/", import.meta.url).pathname],
    keepCase: true,
    oneofs: true,
  });
  // deno-lint-ignore no-explicit-any
  const packages = grpc.loadPackageDefinition(definition) as any;
  const client = new packages.grpc.reflection.v1.ServerReflection(
    server.address,
    grpc.credentials.createInsecure(),
  );
  const stream = client.ServerReflectionInfo();
  const ask = async (request: Message): Promise<Message> => {
    stream.write(request);
    return (await once(stream, "data"))[0];
  };
  const { list_services_response } = await ask({ list_services: "" });
  const names = list_services_response.service.map((s: Message) => s.name);
  assert.ok(
    names.includes("etcdserverpb.KV") &&
      names.includes("grpc.health.v1.Health"),
  );
  const file = await ask({ file_containing_symbol: "etcdserverpb.KV" });
  assert.ok(file.file_descriptor_response.file_descriptor_proto.length >= 2);
  const unknown = await ask({ file_containing_symbol: "no.Such" });
  assert.equal(unknown.error_response.error_code, 5);
  stream.end();
  await once(stream, "end");
  client.close();
});

Deno.test("a Unix socket serves; a dead one is replaced, a live one refused", async () => {
  const dir = await Deno.makeTempDir();
  const url = `unix://${dir}/s.sock`;
  Deno.writeTextFileSync(`${dir}/other`, "");
  {
    // What a server leaves that was killed.
    const listener = Deno.listen({ transport: "unix", path: `${dir}/s.sock` });
    listener.close();
  }
  {
    await using _server = await startTestServer({
      listenClientUrls: ["http://127.0.0.1:0", url],
    });
    using client = new EtcdClient(`unix:${dir}/s.sock`);
    await client.put("k", "v");
    assert.equal((await client.range("k")).count, "1");
    await assert.rejects(
      startTestServer({ listenClientUrls: ["http://127.0.0.1:0", url] }),
      /another process/,
    );
  }
  await assert.rejects(
    startTestServer({
      listenClientUrls: ["http://127.0.0.1:0", `unix://${dir}/other`],
    }),
    /not a socket/,
  );
  await Deno.remove(dir, { recursive: true });
});

Deno.test({
  name:
    "a stop lets calls under way finish, keeps what they wrote, ends streams",
  ignore: IS_EXTERNAL,
  async fn() {
    const dataDir = await Deno.makeTempDir();
    const server = await startTestServer({ dataDir });
    // The server's own client is closed first.
    using client = new EtcdClient(server.address);
    const watch = client.openWatch();
    await watch.create({ key: Buffer.from("nothing") });
    const puts = Array.from(
      { length: 200 },
      (_, i) => client.put(`k${i}`).then(() => "done", (error) => error.code),
    );
    await Promise.any(puts);
    const began = Date.now();
    await server[Symbol.asyncDispose]();
    const outcomes = await Promise.all(puts);
    for (const outcome of outcomes) {
      assert.ok(outcome === "done" || outcome === grpc.status.UNAVAILABLE);
    }
    assert.equal((await failure(watch.next())).code, grpc.status.UNAVAILABLE);
    assert.ok(Date.now() - began < 5000);
    {
      await using again = await startTestServer({ dataDir });
      const { count } = await again.client.range("k", "l");
      const done = outcomes.filter((outcome) => outcome === "done").length;
      assert.ok(Number(count) >= done, `${count} of ${done}`);
    }
    await Deno.remove(dataDir, { recursive: true });
  },
});

Deno.test({
  name: "one that watches the server's health hears of its stop",
  ignore: IS_EXTERNAL,
  async fn() {
    const server = await startTestServer();
    using client = new EtcdClient(server.address);
    const watch = client.health.stream("Watch", {});
    const seen: string[] = [];
    const ended = Promise.withResolvers<grpc.ServiceError>();
    const heard = Promise.withResolvers<void>();
    watch.on("error", ended.resolve);
    watch.on("data", ({ status }: Message) => {
      seen.push(status);
      heard.resolve();
    });
    await heard.promise;
    await server[Symbol.asyncDispose]();
    assert.equal((await ended.promise).code, grpc.status.UNAVAILABLE);
    assert.deepEqual(seen, ["SERVING", "NOT_SERVING"]);
  },
});

Deno.test("HTTP/1.1 keeps a connection, and answers what is pipelined in order", async () => {
  await using server = await startTestServer();
  const [hostname, port] = server.address.split(":");
  using conn = await Deno.connect({ hostname: hostname!, port: Number(port) });
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const ask = async (requests: string, answers: number) => {
    await conn.write(utf8(requests));
    const chunk = new Uint8Array(1 << 16);
    let all = "";
    while (bodies(all).length < answers) {
      const n = await conn.read(chunk);
      assert(n !== null, `closed after: ${all}`);
      all += text(chunk.subarray(0, n));
    }
    return bodies(all);
  };
  const health = '{"health":"true","reason":""}';
  assert.deepEqual(await ask(get("/health"), 1), [health]);
  assert.deepEqual(await ask(get("/livez"), 1), ["ok\n"]);
  const [one, two, three] = await ask(
    get("/livez") + get("/version") + get("/health"),
    3,
  );
  assert.equal(one, "ok\n");
  assert.match(two!, /etcdserver/);
  assert.equal(three, health);
});

Deno.test("garbage and silence do no harm", async () => {
  await using server = await startTestServer();
  const [host, port] = server.address.split(":");
  const sockets = [
    "\x00\xff\x00",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense!",
    "",
  ].map((bytes) => {
    const socket = net.connect(Number(port), host, () => socket.write(bytes));
    socket.on("error", () => {});
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await server.client.put("k", "v");
  for (const socket of sockets) socket.destroy();
});

/** A unary call of any path, with an empty message both ways. */
function rawCall(
  address: string,
  path: string,
  metadata = new grpc.Metadata(),
): Promise<unknown> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const none = () => Buffer.alloc(0);
  return new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, none, none, {}, metadata, (error, answer) => {
      client.close();
      if (error) reject(error);
      else resolve(answer);
    })
  );
}

/** The bodies of the HTTP/1.1 answers that are complete. */
function bodies(answers: string): string[] {
  const all: string[] = [];
  let at = 0;
  for (;;) {
    const head = answers.indexOf("\r\n\r\n", at);
    if (head < 0) return all;
    const length = /content-length: (\d+)/i.exec(answers.slice(at, head));
    assert(length !== null, answers);
    const end = head + 4 + Number(length[1]);
    if (end > answers.length) return all;
    all.push(answers.slice(head + 4, end));
    at = end;
  }
}
