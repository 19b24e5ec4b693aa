import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { concatBytes, EMPTY, utf8 } from "../../../src/base/bytes.ts";
import {
  encodeLeaseKeepAliveRequest,
  encodePutRequest,
  newLeaseKeepAliveRequest,
  newPutRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { put } from "../load/etcd_calls.ts";
import { etcdPath } from "../load/grpc_connection.ts";
import { callFields, grpcMessage, RawClient } from "./raw_client.ts";
import { type Bounds, Victim } from "./victim.ts";

/** How often each bad request is sent: fewer than what counts as a flood. */
const TIMES = 100;
const PUT = etcdPath("KV/Put");
const GZIP = ["grpc-encoding", "gzip"];
/** What a client may leave in the server's hands: see `DEFAULT_MAX_PARTIAL_BYTES`. */
const PARTIAL_MIB = 256;

/** 2 GiB of zeros would be 2 MB; so much of them shows it as well. */
const BOMB = gzipSync(new Uint8Array(32 << 20));
/** Just below the limit of a message when it is unpacked. */
const SMALL_BOMB = gzipSync(new Uint8Array((2 << 20) - 100));

/** Requests of one message, and what they are answered with. */
const MESSAGES: readonly {
  readonly name: string;
  readonly status: string;
  readonly body: Uint8Array;
  readonly fields?: readonly string[];
  readonly method?: string;
  readonly bounds?: Bounds;
}[] = [
  {
    name: "a length beyond the limit",
    status: "8 grpc: received message larger than max (4294967295 vs. 2097152)",
    body: grpcMessage(EMPTY, { length: 0xffffffff }),
  },
  {
    name: "a length of which nothing comes",
    status: "13 unexpected EOF",
    body: grpcMessage(EMPTY, { length: 2 << 20 }),
  },
  {
    name: "half a prefix",
    status: "13 unexpected EOF",
    body: Uint8Array.of(0, 0, 0),
  },
  {
    name: "two messages instead of one",
    status:
      "13 cardinality violation: received multiple request messages for non-client-streaming RPC",
    body: concatBytes(grpcMessage(EMPTY), grpcMessage(EMPTY)),
  },
  {
    name: "an unknown flag",
    status: "13 grpc: received unexpected payload format 2",
    body: grpcMessage(EMPTY, { flag: 2 }),
  },
  {
    name: "a compressed message without an encoding",
    status: "13 grpc: compressed flag set with identity or empty encoding",
    body: grpcMessage(SMALL_BOMB, { flag: 1 }),
  },
  {
    name: "an unknown encoding",
    status:
      '12 grpc: Decompressor is not installed for grpc-encoding "deflate"',
    body: grpcMessage(EMPTY, { flag: 1 }),
    fields: ["grpc-encoding", "deflate"],
  },
  {
    name: "a gzip bomb",
    status:
      "8 grpc: received message after decompression larger than max 2097152",
    body: grpcMessage(BOMB.subarray(0, 16_000), { flag: 1 }),
    fields: GZIP,
    // Of 100 × 2 MiB that are unpacked and dropped, the collector has its share.
    bounds: { maxGrowthMib: 256 },
  },
  {
    name: "gzip that is none",
    status: "13 grpc: failed to decompress the message: incorrect header check",
    body: grpcMessage(utf8("this is not gzip"), { flag: 1 }),
    fields: GZIP,
  },
  ...[
    ["a varint without an end", [0x0a, 0xff], "message ends inside a varint"],
    [
      "a varint of eleven bytes",
      [0x18, ...Array(10).fill(0xff), 1],
      "varint longer than 64 bits",
    ],
    [
      "a length beyond the message",
      [0x0a, 0x7f],
      "length beyond the end of the message",
    ],
    ["field number 0", [0x00, 0x00], "field number 0"],
    ["a group", [0x0b, 0x0c], "groups are not supported"],
  ].map(([name, bytes, why]) => ({
    name: `protobuf with ${name}`,
    status: `13 grpc: error unmarshalling request: ${why}`,
    body: grpcMessage(Uint8Array.from(bytes as number[])),
  })),
  {
    name: "protobuf with a string that is not UTF-8",
    status: "13 grpc: error unmarshalling request: string is not UTF-8",
    body: grpcMessage(Uint8Array.of(0x0a, 2, 0xc3, 0x28)),
    method: etcdPath("Auth/UserGet"),
  },
  {
    name: "transactions inside each other without end",
    status: "13 grpc: error unmarshalling request: messages nested too deep",
    body: grpcMessage(nested(600)),
    method: etcdPath("KV/Txn"),
  },
];

/** A transaction in a transaction, and so on: `success { request_txn { success { … } } }`. */
function nested(depth: number): Uint8Array {
  let bytes: Uint8Array = EMPTY;
  for (let i = 0; i < depth; i++) {
    bytes = delimited(0x12, delimited(0x22, bytes));
  }
  return bytes;
}

function delimited(tag: number, bytes: Uint8Array): Uint8Array {
  const size: number[] = [];
  let left = bytes.length;
  for (; left >= 0x80; left >>>= 7) size.push(left & 0x7f | 0x80);
  return concatBytes(Uint8Array.of(tag, ...size, left), bytes);
}

/** Headers that are wrong, and the beginning of what they are answered with. */
const HEADERS: readonly {
  readonly name: string;
  readonly fields: readonly string[];
  readonly status: RegExp;
}[] = [
  ...["/", "//", "/..", "/../../etc/passwd", `${PUT}/`, "/__proto__/toString"]
    .map((path) => ({
      name: `the path ${path}`,
      fields: callFields(path),
      status: /^12 (unknown|malformed)/,
    })),
  {
    name: "a path of 16,000 bytes that are not ASCII",
    fields: callFields("\xff".repeat(16_000)),
    status: /^12 malformed method name: "(\\xff){512}\.\.\."$/,
  },
  {
    name: "30,000 commas of binary metadata",
    fields: callFields(PUT, "x-bin", ",".repeat(30_000)),
    status: /^13 .*received no request message/,
  },
  {
    name: "binary metadata that is not base64",
    fields: callFields(PUT, "x-bin", "\x80%".repeat(5_000)),
    status: /^13 malformed binary metadata/,
  },
  {
    name: "a timeout of a hundred digits",
    fields: callFields(PUT, "grpc-timeout", "9".repeat(100) + "S"),
    status: /^13 malformed grpc-timeout: transport: timeout string is too long/,
  },
  {
    name: "a thousand fields",
    fields: callFields(
      PUT,
      ...Array.from({ length: 1_000 }, (_, i) => [`x-${i}`, ""]).flat(),
    ),
    status: /^13 .*received no request message/,
  },
];

Deno.test("a request that breaks gRPC's rules gets the error that names them, and costs nothing", async (t) => {
  await using victim = await Victim.start();
  for (const message of MESSAGES) {
    const { name, status, body, fields = [], method = PUT, bounds } = message;
    await t.step(name, async () => {
      await victim.endure(name, async () => {
        using client = await RawClient.http2(victim.port);
        const block = client.frames.block(callFields(method, ...fields));
        await client.flood(TIMES, () => {
          const id = client.frames.nextId();
          return concatBytes(
            client.frames.headersOf(id, block, false),
            client.frames.data(id, body, true),
          );
        });
        await client.until("answers", () => client.statuses.size === TIMES);
        assert.deepEqual([...new Set(client.statuses.values())], [status]);
        assert.equal(client.isOver, false);
      }, bounds);
    });
  }
  for (const { name, fields, status } of HEADERS) {
    await t.step(name, async () => {
      await victim.endure(name, async () => {
        using client = await RawClient.http2(victim.port);
        const block = client.frames.block(fields);
        await client.flood(TIMES, () => {
          const id = client.frames.nextId();
          return client.sectionOf(id, block);
        });
        await client.until("answers", () => client.statuses.size === TIMES);
        for (const said of client.statuses.values()) assert.match(said, status);
      });
    });
  }
});

Deno.test("20,000 requests that only begin cost less than 160 MiB, and keep no other out", async () => {
  await using victim = await Victim.start();
  const other = await victim.server.connect();
  const large = new Uint8Array(1 << 20);
  await victim.endure("20,000 beginnings", async () => {
    using client = await RawClient.http2(victim.port);
    const block = client.frames.block(callFields(PUT));
    await client.flood(20_000, () => {
      const id = client.frames.nextId();
      return concatBytes(
        client.frames.headersOf(id, block, false),
        client.frames.data(id, Uint8Array.of(0, 0, 0x10, 0, 0, 1), false),
      );
    });
    await client.settled();
    assert.equal(client.statuses.size, 0);
    await put(other, utf8("/large"), large);
  }, { maxGrowthMib: 160 });
  other.close();
});

Deno.test("messages that are there but for their end share a budget, and the next one is told so", async () => {
  await using victim = await Victim.start();
  const partial = PARTIAL_MIB / 2;
  await victim.endure("small bombs without an end", async () => {
    using client = await RawClient.http2(victim.port);
    const fields = callFields(PUT, ...GZIP);
    const block = client.frames.block(fields);
    const body = grpcMessage(SMALL_BOMB, { flag: 1 });
    await client.flood(2 * partial, () => {
      const id = client.frames.nextId();
      return concatBytes(
        client.frames.headersOf(id, block, false),
        client.frames.data(id, body, false),
      );
    });
    await client.settled();
    const refused = client.statuses.size;
    assert.ok(refused >= partial - 1 && refused <= partial + 8, `${refused}`);
    assert.deepEqual([...new Set(client.statuses.values())], [
      "8 grpc: too many messages are being received at once",
    ]);
    // A chunk holds thirty of them, each of which takes some milliseconds.
  }, { maxGrowthMib: PARTIAL_MIB + 384, maxP99CpuMs: 1_500 });
});

Deno.test("keep-alives whose answers are not read cost less than 128 MiB", async () => {
  await using victim = await Victim.start();
  await victim.endure("keep-alives unread", async () => {
    using client = await RawClient.http2(victim.port, 0);
    const one = grpcMessage(
      encodeLeaseKeepAliveRequest(newLeaseKeepAliveRequest({ ID: 5n })),
    );
    const many = concatBytes(...Array.from({ length: 1_000 }, () => one));
    const fields = callFields(etcdPath("Lease/LeaseKeepAlive"));
    const ids = Array.from({ length: 50 }, () => {
      const id = client.frames.nextId();
      client.write(client.frames.headers(id, fields, false));
      return id;
    });
    // As much as the connection's window lets through without answers being read.
    await client.flood(
      1_000,
      (i) => client.frames.data(ids[i % ids.length]!, many, false),
    );
    await client.settled();
    assert.equal(client.goAway, undefined);
  }, { maxGrowthMib: 128, maxP99CpuMs: 1_500 });
});

Deno.test("a hundred clients that write a byte at a time are all answered", async () => {
  await using victim = await Victim.start();
  await victim.endure("a hundred slow writers", async () => {
    await Promise.all(Array.from({ length: 100 }, async () => {
      using client = await RawClient.http2(victim.port);
      const { frames } = client;
      const request = newPutRequest({ key: utf8("/slow") });
      const body = grpcMessage(encodePutRequest(request));
      const whole = concatBytes(
        frames.headers(1, callFields(PUT), false),
        ...Array.from(
          body,
          (byte) => frames.data(1, Uint8Array.of(byte), false),
        ),
        frames.data(1, EMPTY, true),
      );
      for (const byte of whole) {
        client.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await client.until("an answer", () => client.statuses.has(1));
      assert.equal(client.statuses.get(1), "0");
    }));
  });
});

Deno.test("snapshots that are not read: two at a time, and those beyond are told so", async () => {
  await using victim = await Victim.start();
  await victim.endure("a hundred snapshots unread", async () => {
    using client = await RawClient.http2(victim.port, 0);
    const fields = callFields(etcdPath("Maintenance/Snapshot"));
    const block = client.frames.block(fields);
    await client.flood(100, () => {
      const id = client.frames.nextId();
      return concatBytes(
        client.frames.headersOf(id, block, false),
        client.frames.data(id, grpcMessage(EMPTY), true),
      );
    });
    await client.until("refusals", () => client.statuses.size >= 98);
    assert.deepEqual([...new Set(client.statuses.values())], [
      "8 etcdserver: too many requests",
    ]);
  });
  // They end with the client, though not at once.
  const other = await victim.server.connect();
  for (let bytes = 0; bytes === 0;) {
    await other.serverStream(
      etcdPath("Maintenance/Snapshot"),
      EMPTY,
      (message) => bytes += message.length,
    ).catch((error) => assert.equal(error.code, 8));
  }
  other.close();
});
