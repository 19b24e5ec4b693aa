import assert from "node:assert/strict";
import { type Message, op } from "../support/etcd_client.ts";
import { failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

const keysOf = (response: Message) =>
  response.kvs.map((kv: Message) => kv.key.toString()).join(" ");

Deno.test("Put counts versions and revisions, and a delete starts them again", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const first = Number((await client.put("k", "a")).header.revision);
  const second = Number((await client.put("k", "b")).header.revision);
  assert.equal(second, first + 1);
  let kv = (await client.range("k")).kvs[0];
  assert.deepEqual(
    [kv.create_revision, kv.mod_revision, kv.version, kv.value.toString()],
    [`${first}`, `${second}`, "2", "b"],
  );
  const gone = await client.delete("k");
  assert.deepEqual([gone.deleted, Number(gone.header.revision)], [
    "1",
    second + 1,
  ]);
  await client.put("k", "c");
  kv = (await client.range("k")).kvs[0];
  assert.deepEqual([kv.create_revision, kv.version], [`${second + 2}`, "1"]);
});

Deno.test("Range reads one key, an interval, from a key on, and everything", async () => {
  await using server = await startTestServer();
  const { client } = server;
  for (const key of ["a", "b", "ba", "c"]) await client.put(key, key);
  assert.equal(keysOf(await client.range("b")), "b");
  assert.equal(keysOf(await client.range("a", "c")), "a b ba");
  assert.equal(keysOf(await client.range("ba", "\0")), "ba c");
  assert.equal(keysOf(await client.range("\0", "\0")), "a b ba c");
  assert.equal(keysOf(await client.range("c", "a")), "");
  assert.equal(keysOf(await client.range("b", "b")), "");
});

Deno.test("Range limits, counts and says whether there is more", async () => {
  await using server = await startTestServer();
  const { client } = server;
  for (const key of ["a", "b", "c", "d"]) await client.put(key);
  const cases: [Message, string, string, boolean][] = [
    [{ limit: 2 }, "a b", "4", true],
    [{ limit: 4 }, "a b c d", "4", false],
    [{ limit: 5 }, "a b c d", "4", false],
    [{ limit: -1 }, "a b c d", "4", false],
    [{ limit: 3, sort_order: "DESCEND" }, "d c b", "4", true],
    [{ count_only: true, limit: 1 }, "", "4", false],
  ];
  for (const [more, keys, count, isMore] of cases) {
    const response = await client.range("a", "z", more);
    const seen = [keysOf(response), response.count, response.more];
    assert.deepEqual(seen, [keys, count, isMore], JSON.stringify(more));
  }
});

Deno.test("Range sorts by every target, both ways", async () => {
  await using server = await startTestServer();
  const { client } = server;
  await client.put("a", "3");
  await client.put("b", "1");
  await client.put("c", "2");
  await client.put("a", "3");
  await client.put("a", "3");
  await client.put("b", "1");
  const sorted = async (sort_target: string, sort_order: string) =>
    keysOf(await client.range("a", "z", { sort_target, sort_order }));
  assert.equal(await sorted("KEY", "DESCEND"), "c b a");
  assert.equal(await sorted("VERSION", "ASCEND"), "c b a");
  assert.equal(await sorted("CREATE", "DESCEND"), "c b a");
  assert.equal(await sorted("MOD", "ASCEND"), "c a b");
  assert.equal(await sorted("MOD", "NONE"), "c a b");
  assert.equal(await sorted("VALUE", "ASCEND"), "b c a");
  assert.equal(await sorted("VALUE", "DESCEND"), "a c b");
});

Deno.test("Range filters by revisions without changing the count", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const first = Number((await client.put("a")).header.revision);
  await client.put("b");
  await client.put("a");
  const keys = async (more: Message) => {
    const response = await client.range("a", "z", more);
    assert.equal(response.count, "2");
    return keysOf(response);
  };
  assert.equal(await keys({ min_mod_revision: first + 2 }), "a");
  assert.equal(await keys({ max_mod_revision: first + 1 }), "b");
  assert.equal(await keys({ min_create_revision: first + 1 }), "b");
  assert.equal(await keys({ max_create_revision: first }), "a");
  assert.equal(
    await keys({ max_create_revision: "9223372036854775807" }),
    "a b",
  );
});

Deno.test("Range with keys_only leaves the value out and keeps the lease", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { ID } = await client.lease.call("LeaseGrant", { TTL: 60 });
  await client.put("a", "value", { lease: ID });
  const [kv] = (await client.range("a", "", { keys_only: true })).kvs;
  assert.deepEqual([kv.value.length, kv.lease], [0, ID]);
});

Deno.test("Range reads the past at every revision, with its counts", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const base = await client.revision();
  await client.put("a", "1");
  await client.put("b", "1");
  await client.delete("a");
  await client.put("a", "2");
  const at = async (revision: number) => {
    const response = await client.range("a", "z", { revision });
    assert.equal(Number(response.header.revision), base + 4);
    assert.equal(Number(response.count), response.kvs.length);
    return response.kvs.map((kv: Message) => `${kv.key}=${kv.value}`).join(" ");
  };
  assert.deepEqual(
    [
      await at(base + 1),
      await at(base + 2),
      await at(base + 3),
      await at(base + 4),
    ],
    ["a=1", "a=1 b=1", "b=1", "a=2 b=1"],
  );
  assert.deepEqual(
    await failure(client.range("a", "", { revision: base + 5 })),
    {
      code: 11,
      message: "etcdserver: mvcc: required revision is a future revision",
    },
  );
});

Deno.test("requests with bad arguments fail with etcd's messages", async () => {
  await using server = await startTestServer();
  const { client } = server;
  // 1.5 MiB, less the key, tags and lengths (7 bytes) and what etcd wraps around a request (17 bytes).
  const limit = (1536 << 10) - 7 - 17;
  // An etcd whose ids are large wraps one more around it.
  await client.put("a", "x".repeat(limit - 1));
  const cases: [Promise<unknown>, number, string][] = [
    [client.range(""), 3, "etcdserver: key is not provided"],
    [client.put(""), 3, "etcdserver: key is not provided"],
    [client.delete(""), 3, "etcdserver: key is not provided"],
    [
      client.range("a", "", { sort_order: 9 }),
      3,
      "etcdserver: invalid sort option",
    ],
    [
      client.put("a", "v", { ignore_value: true }),
      3,
      "etcdserver: value is provided",
    ],
    [
      client.put("a", "v", { ignore_lease: true, lease: 1 }),
      3,
      "etcdserver: lease is provided",
    ],
    [
      client.put("none", "", { ignore_value: true }),
      3,
      "etcdserver: key not found",
    ],
    [
      client.put("a", "v", { lease: 404 }),
      5,
      "etcdserver: requested lease not found",
    ],
    [
      client.put("none", "", { lease: 404, ignore_value: true }),
      5,
      "etcdserver: requested lease not found",
    ],
    [client.txn({ success: [{}] }), 3, "etcdserver: key not found"],
    [
      client.put("a", "x".repeat(limit + 1)),
      3,
      "etcdserver: request is too large",
    ],
  ];
  const answers = await Promise.all(cases.map(([call]) => failure(call)));
  assert.deepEqual(
    answers,
    cases.map(([, code, message]) => ({ code, message })),
  );
});

Deno.test("DeleteRange deletes in one revision and returns what was there", async () => {
  await using server = await startTestServer();
  const { client } = server;
  await client.put("a", "1");
  await client.put("b", "2");
  const before = await client.revision();
  const response = await client.delete("a", "z", { prev_kv: true });
  assert.deepEqual(
    [response.deleted, Number(response.header.revision)],
    ["2", before + 1],
  );
  assert.equal(
    response.prev_kvs.map((kv: Message) => kv.value.toString()).join(""),
    "12",
  );
  const nothing = await client.delete("a", "z");
  assert.deepEqual([nothing.deleted, Number(nothing.header.revision)], [
    "0",
    before + 1,
  ]);
});

Deno.test("Txn sees its own writes and shares one revision", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const before = await client.revision();
  const response = await client.txn({
    success: [
      op.put("a", "1"),
      op.range("a"),
      op.put("b", "2"),
      op.range("a", { range_end: Buffer.from("z"), count_only: true }),
    ],
  });
  assert.equal(Number(response.header.revision), before + 1);
  assert.equal(
    response.responses[1].response_range.kvs[0].value.toString(),
    "1",
  );
  assert.equal(response.responses[3].response_range.count, "2");
  const { kvs } = await client.range("a", "z");
  assert.deepEqual(kvs.map((kv: Message) => Number(kv.mod_revision)), [
    before + 1,
    before + 1,
  ]);
});

Deno.test("Txn compares every target, also of a key that is missing", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const revision = Number((await client.put("a", "m")).header.revision);
  const compare = (
    target: string,
    result: string,
    member: Message,
    key = "a",
  ) => ({
    key: Buffer.from(key),
    target,
    result,
    ...member,
  });
  const cases: [Message, boolean][] = [
    [compare("VERSION", "EQUAL", { version: 1 }), true],
    [compare("VERSION", "EQUAL", { version: 0 }, "none"), true],
    [compare("VERSION", "GREATER", { version: 0 }, "none"), false],
    [compare("CREATE", "EQUAL", { create_revision: revision }), true],
    [compare("MOD", "LESS", { mod_revision: revision + 1 }), true],
    [compare("MOD", "NOT_EQUAL", { mod_revision: revision }), false],
    [compare("VALUE", "EQUAL", { value: Buffer.from("m") }), true],
    [compare("VALUE", "GREATER", { value: Buffer.from("l") }), true],
    [compare("VALUE", "NOT_EQUAL", { value: Buffer.from("x") }, "none"), false],
    [compare("LEASE", "EQUAL", { lease: 0 }), true],
    [compare("LEASE", "EQUAL", { lease: 0 }, "none"), true],
    [
      compare("MOD", "GREATER", {
        mod_revision: 0,
        range_end: Buffer.from("z"),
      }),
      true,
    ],
  ];
  for (const [c, expected] of cases) {
    assert.equal(
      (await client.txn({ compare: [c] })).succeeded,
      expected,
      JSON.stringify(c),
    );
  }
});

Deno.test("Txn refuses a key that two operations of a branch write", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const twice = {
    code: 3,
    message: "etcdserver: duplicate key given in txn request",
  };
  const refused = [
    [op.put("a"), op.put("a")],
    [op.put("b"), op.delete("a", "c")],
    [op.delete("a", "c"), op.put("b")],
    [op.put("a"), op.txn({ success: [op.put("a")] })],
    [op.txn({ success: [op.put("a")] }), op.txn({ failure: [op.put("a")] })],
    [op.delete("a"), op.txn({ success: [op.put("a")] })],
  ];
  for (const success of refused) {
    assert.deepEqual(await failure(client.txn({ success })), twice);
  }
  const allowed = [
    [op.delete("a"), op.delete("a", "c")],
    [op.txn({ success: [op.put("a")], failure: [op.put("a")] })],
    [op.put("a"), op.range("a"), op.range("a")],
    [op.delete("a", "\0"), op.put("b")],
    [
      op.txn({ success: [op.put("a")] }),
      op.txn({ success: [op.delete("a")] }),
    ],
  ];
  for (const success of allowed) await client.txn({ success });
  await client.txn({ success: [op.put("a")], failure: [op.put("a")] });
});

Deno.test("Txn gives nested transactions what is left of its budget of operations", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const ranges = (n: number) =>
    Array.from({ length: n }, (_, i) => op.range(`k${i}`));
  await client.txn({ success: ranges(128) });
  const tooMany = {
    code: 3,
    message: "etcdserver: too many operations in txn request",
  };
  assert.deepEqual(
    await failure(client.txn({ success: ranges(129) })),
    tooMany,
  );
  await client.txn({ success: [op.txn({ success: ranges(127) })] });
  assert.deepEqual(
    await failure(client.txn({ success: [op.txn({ success: ranges(128) })] })),
    tooMany,
  );
});

Deno.test("Txn fails whole when one operation does", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const before = await client.revision();
  const failing = [
    op.put("b", "v", { lease: 31337 }),
    op.put("b", "", { ignore_value: true }),
    op.range("b", { revision: before + 10 }),
  ];
  for (const bad of failing) {
    await failure(client.txn({ success: [op.put("a"), bad] }));
  }
  assert.equal(await client.revision(), before);
  assert.equal((await client.range("a")).count, "0");
});

Deno.test("Compact makes the past unreadable, keeps the newest, and refuses to go back", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const first = Number((await client.put("a", "1")).header.revision);
  await client.put("a", "2");
  await client.put("b", "x");
  await client.delete("b");
  const last = await client.revision();
  await client.kv.call("Compact", { revision: last - 1, physical: true });
  const compacted = {
    code: 11,
    message: "etcdserver: mvcc: required revision has been compacted",
  };
  assert.deepEqual(
    await failure(client.range("a", "", { revision: first })),
    compacted,
  );
  assert.equal(
    (await client.range("a", "z", { revision: last - 1 })).count,
    "2",
  );
  assert.equal((await client.range("a", "z")).count, "1");
  assert.deepEqual(
    await failure(client.kv.call("Compact", { revision: last - 1 })),
    compacted,
  );
  assert.equal(
    (await failure(client.kv.call("Compact", { revision: last + 1 }))).code,
    11,
  );
  await client.kv.call("Compact", { revision: last, physical: true });
  assert.equal((await client.range("a")).kvs[0].value.toString(), "2");
});

Deno.test("RangeStream's parts add up to Range's answer", async () => {
  await using server = await startTestServer();
  const { client } = server;
  for (let i = 0; i < 25; i++) {
    await client.put(`k${i.toString().padStart(2, "0")}`, "v");
  }
  const collect = async (request: Message) => {
    const parts: Message[] = [];
    const call = client.kv.stream("RangeStream", {
      key: Buffer.from("k"),
      range_end: Buffer.from("l"),
      ...request,
    });
    for await (const part of call) parts.push(part.range_response);
    return parts;
  };
  const parts = await collect({});
  assert.ok(parts.length >= 2, "25 keys come in several messages");
  assert.equal(parts.flatMap((p) => p.kvs).length, 25);
  assert.equal(parts.at(-1)!.count, "25");
  assert.ok(parts.slice(0, -1).every((p) => p.header === null));
  const limited = await collect({ limit: 12 });
  assert.equal(limited.flatMap((p) => p.kvs).length, 12);
  assert.deepEqual([limited.at(-1)!.more, limited.at(-1)!.count], [true, "25"]);
  const counted = await collect({ count_only: true });
  assert.deepEqual([counted.length, counted[0]!.count], [1, "25"]);
  assert.deepEqual(await failure(collect({ sort_order: "DESCEND" })), {
    code: 12,
    message: "RangeStream does not support custom sort orders",
  });
  assert.deepEqual(await failure(collect({ min_mod_revision: 2 })), {
    code: 12,
    message: "RangeStream does not support revision filters",
  });
});
