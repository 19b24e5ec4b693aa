import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { EtcdClient, type Message } from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

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

Deno.test("what is not there is unimplemented, and says so", async () => {
  await using server = await startTestServer();
  const call = (path: string) =>
    new Promise((resolve, reject) => {
      const client = new grpc.Client(
        server.address,
        grpc.credentials.createInsecure(),
      );
      const none = () => Buffer.alloc(0);
      client.makeUnaryRequest(path, none, none, {}, (error, answer) => {
        client.close();
        if (error) reject(error);
        else resolve(answer);
      });
    });
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

Deno.test("a stop lets calls under way finish, and ends streams", async () => {
  const server = await startTestServer();
  const { client } = server;
  const watch = client.openWatch();
  await watch.create({ key: Buffer.from("k") });
  const puts = Array.from(
    { length: 200 },
    (_, i) => client.put(`k${i}`).then(() => "done", (error) => error.code),
  );
  const began = Date.now();
  await server[Symbol.asyncDispose]();
  for (const outcome of await Promise.all(puts)) {
    assert.ok(outcome === "done" || [1, 14].includes(outcome), `${outcome}`);
  }
  assert.ok(Date.now() - began < 5000);
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
