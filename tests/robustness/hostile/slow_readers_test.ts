import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import {
  encodeRangeRequest,
  encodeWatchRequest,
  newRangeRequest,
  newWatchCreateRequest,
  newWatchRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { DEFAULT_HTTP2_LIMITS } from "../../../src/transport/http2/limits.ts";
import { put, putAll } from "../load/etcd_calls.ts";
import {
  etcdPath,
  type GrpcConnection,
  numberedKey,
} from "../load/grpc_connection.ts";
import { callFields, grpcMessage, RawClient } from "./raw_client.ts";
import { Victim } from "./victim.ts";

/** Every key, as key and range end. */
const ALL = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
const LARGEST_WINDOW = 2 ** 31 - 1;
/** What one list of the store holds. */
const LIST_MIB = 8;
/** Enough for a list to be made, and for memory to be seen. */
const WATCHED_MS = 2_000;

/** `LIST_MIB` in values of 16 KiB. */
async function fill(connection: GrpcConnection): Promise<void> {
  const value = new Uint8Array(16 << 10).fill(0x76);
  for (let n = 0; n < LIST_MIB * 64; n += 64) {
    await putAll(
      connection,
      Array.from({ length: 64 }, (_, i) => ({
        key: numberedKey("/list/", n + i),
        value,
      })),
    );
  }
}

/** Asks for everything on `count` streams; the windows hold nothing back. */
function askForLists(client: RawClient, method: string, count: number): void {
  const { frames } = client;
  client.write(frames.windowUpdate(0, LARGEST_WINDOW - 65_535));
  const request = grpcMessage(encodeRangeRequest(newRangeRequest(ALL)));
  const fields = callFields(etcdPath(`KV/${method}`));
  for (let i = 0; i < count; i++) {
    const id = frames.nextId();
    client.write(
      frames.headers(id, fields, false),
      frames.data(id, request, true),
    );
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("a client that asks for 800 MiB of answers and reads nothing costs less than 64 MiB", async (t) => {
  await using victim = await Victim.start();
  const filler = await victim.server.connect();
  await fill(filler);
  filler.close();
  const streams = 800 / LIST_MIB;
  for (const method of ["Range", "RangeStream"]) {
    for (const window of [LARGEST_WINDOW, 65_535, 0]) {
      await t.step(`${method}, with windows of ${window}`, async () => {
        await victim.endure(`${method}, windows of ${window}`, async () => {
          using client = await RawClient.http2(victim.port, window);
          client.socket.pause();
          askForLists(client, method, streams);
          await sleep(WATCHED_MS);
        });
      });
    }
  }
  await t.step("and gets them once it reads", async () => {
    const connection = await victim.server.connect();
    connection.pauseReading();
    let bytes = 0;
    const request = encodeRangeRequest(newRangeRequest(ALL));
    const calls = Array.from({ length: 5 }, () =>
      connection.serverStream(
        etcdPath("KV/RangeStream"),
        request,
        (message) => bytes += message.length,
      ));
    await sleep(200);
    connection.resumeReading();
    await Promise.all(calls);
    connection.close();
    assert.ok(bytes > 5 * LIST_MIB << 20, `${bytes} bytes`);
  });
});

Deno.test("2,000 watchers that do not read cost less than 96 MiB for 300 MiB of events, and lose none", async () => {
  const watchers = 2_000;
  const puts = 150;
  await using victim = await Victim.start();
  const writer = await victim.server.connect();
  const watch = grpcMessage(encodeWatchRequest(newWatchRequest({
    createRequest: newWatchCreateRequest({ key: utf8("/w"), startRevision: 1 }),
  })));
  const fields = callFields(etcdPath("Watch/Watch"));
  using client = await RawClient.http2(victim.port, LARGEST_WINDOW);
  client.socket.pause();
  let isDone = false;
  await victim.endure("2,000 watchers that never read", async () => {
    if (isDone) return;
    isDone = true;
    client.write(client.frames.windowUpdate(0, LARGEST_WINDOW - 65_535));
    for (let i = 0; i < watchers; i++) {
      const id = client.frames.nextId();
      client.write(
        client.frames.headers(id, fields, false),
        client.frames.data(id, watch, false),
      );
    }
    const value = new Uint8Array(1 << 10);
    for (let done = 0; done < puts; done += 10) {
      await Promise.all(
        Array.from({ length: 10 }, () => put(writer, utf8("/w"), value)),
      );
    }
    await sleep(500);
    // A put alone costs 2,000 watchers a response each.
  }, { maxGrowthMib: 96, maxP99CpuMs: 1_500 });
  writer.close();
  // Events that were not sent yet are not lost.
  client.socket.resume();
  const wanted = watchers * puts * 1024;
  await client.until("all events", () => client.received > wanted);
  assert.equal(client.isClosed, false);
});

Deno.test("a client that asks and asks, and never reads, is cut off", async () => {
  await using victim = await Victim.start();
  await victim.endure("questions without end", async () => {
    using client = await RawClient.http2(victim.port);
    client.socket.pause();
    // Each is answered with headers, which no window holds back.
    const fields = callFields("/no.Such/Method");
    const block = client.frames.block(fields);
    let sent = 0;
    const wanted = 3 * DEFAULT_HTTP2_LIMITS.maxQueuedOutputBytes / 100;
    while (!client.isClosed && sent < wanted) {
      await client.flood(1_000, () => {
        sent++;
        return client.frames.headersOf(client.frames.nextId(), block, true);
      }).catch(() => sent = wanted);
    }
    client.socket.resume();
    await client.until("the end of the connection", () => false);
    assert.equal(client.isClosed, true);
    // `maxQueuedOutputBytes`, what the kernel holds, and garbage.
  }, { maxGrowthMib: 128 });
});

Deno.test("two thousand idle connections cost less than 64 MiB, and those that say nothing are closed", async () => {
  await using victim = await Victim.start();
  const silent: RawClient[] = [];
  await victim.endure("2,000 idle connections", async () => {
    if (silent.length > 0) return;
    const idle: RawClient[] = [];
    for (let i = 0; i < 2_000; i += 50) {
      const opened = await Promise.all(
        Array.from(
          { length: 50 },
          (_, n) =>
            n % 2 === 0
              ? RawClient.http2(victim.port)
              : RawClient.open(victim.port),
        ),
      );
      opened.forEach((client, n) => (n % 2 === 0 ? idle : silent).push(client));
    }
    // Half of a preface, half of a request, half of a TLS record, nothing.
    const halves = [
      utf8("PRI * HT"),
      utf8("GET / HT"),
      Uint8Array.of(22),
      EMPTY,
    ];
    silent.forEach((client, n) => client.write(halves[n % 4]!));
    const deadline = performance.now() + 60_000;
    while (silent.some((client) => !client.isClosed)) {
      assert.ok(performance.now() < deadline, "silent clients are closed");
      await sleep(100);
    }
    assert.ok(idle.every((client) => !client.isClosed), "idle ones are not");
    for (const client of idle) client[Symbol.dispose]();
  });
});
