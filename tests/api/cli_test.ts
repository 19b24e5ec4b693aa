import assert from "node:assert/strict";
import { currentRevision } from "../../src/cli/cluster_reads.ts";
import { EtcdClient } from "../../src/cli/etcd_client.ts";
import { main } from "../../src/cli/main.ts";
import { skippedOnReplicas } from "../support/cluster.ts";
import type { Message } from "../support/etcd_client.ts";
import { FakeProcess } from "../support/fake_process.ts";
import { eventually } from "../support/failure.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Runs a command of the executable against a server. */
async function run(
  server: TestServer,
  args: readonly string[],
  process = new FakeProcess(),
): Promise<{ status: number; out: string; err: string; process: FakeProcess }> {
  process.env.ETCDCTL_ENDPOINTS ??= server.address;
  const status = await main(args, process, () => {
    throw new Error("no server was to be started");
  });
  assert.equal(process.listensToSignals, false);
  return { status, out: process.out, err: process.err, process };
}

/** As `run` with `-w json`; the command must succeed. */
// deno-lint-ignore no-explicit-any
async function json(server: TestServer, ...args: string[]): Promise<any[]> {
  const { status, err, process } = await run(server, [...args, "-w", "json"]);
  assert.equal(status, 0, err);
  assert.equal(err, "");
  return process.json();
}

/** Puts the values one after the other; returns the revision of each. */
async function putAll(
  { client }: TestServer,
  key: string,
  ...values: string[]
): Promise<number[]> {
  const revisions: number[] = [];
  for (const value of values) {
    const { header } = await client.put(key, value);
    revisions.push(Number(header.revision));
  }
  return revisions;
}

async function deleteKey(
  { client }: TestServer,
  key: string,
): Promise<number> {
  return Number((await client.delete(key)).header.revision);
}

Deno.test("stele history shows every change of a key, oldest first", async () => {
  await using server = await startTestServer();
  const lease = await server.client.lease.call("LeaseGrant", { TTL: 1000 });
  const [first, second] = await putAll(server, "h/k", "one", "two");
  await server.client.put("h/other", "x");
  const third = Number(
    (await server.client.put("h/k", "a\nb", { lease: lease.ID })).header
      .revision,
  );
  const end = await deleteKey(server, "h/k");
  const [again] = await putAll(server, "h/k", "new");
  const hex = BigInt(lease.ID).toString(16);
  assert.deepEqual(await json(server, "history", "h/k"), [
    {
      revision: first,
      kind: "put",
      version: 1,
      size: 3,
      key: "h/k",
      value: "one",
    },
    {
      revision: second,
      kind: "put",
      version: 2,
      replaces: first,
      size: 3,
      key: "h/k",
      value: "two",
    },
    {
      revision: third,
      kind: "put",
      version: 3,
      lease: hex,
      replaces: second,
      size: 3,
      key: "h/k",
      value: "a\nb",
    },
    {
      revision: end,
      kind: "delete",
      version: 3,
      lease: hex,
      replaces: third,
      key: "h/k",
    },
    {
      revision: again,
      kind: "put",
      version: 1,
      size: 3,
      key: "h/k",
      value: "new",
    },
  ]);
  const { out } = await run(server, ["history", "h/k"]);
  const lines = out.trimEnd().split("\n");
  assert.match(lines[0]!, /^REVISION +CHANGE +VERSION +LEASE +SIZE +VALUE$/);
  assert.equal(lines.length, 6);
  assert.match(
    lines[3]!,
    new RegExp(`^ +${third} +put +3 +${hex} +3 +a\\\\nb$`),
  );
  assert.match(lines[4]!, new RegExp(`^ +${end} +delete +3 +${hex}$`));
});

Deno.test("stele history cuts what was not asked for", async () => {
  await using server = await startTestServer();
  const revisions = await putAll(server, "c/k", "1", "2", "3", "4", "5");
  const of = async (...args: string[]) =>
    (await json(server, "history", "c/k", ...args)).map(({ value }) => value);
  const [, second, , fourth] = revisions;
  assert.deepEqual(await of("--limit", "2"), ["4", "5"]);
  assert.deepEqual(await of("--limit", "9"), ["1", "2", "3", "4", "5"]);
  assert.deepEqual(await of("--from", `${fourth}`), ["4", "5"]);
  assert.deepEqual(await of("--to", `${second}`), ["1", "2"]);
  assert.deepEqual(
    await of("--from", `${second}`, "--to", `${fourth}`, "--limit=1"),
    ["4"],
  );
  assert.deepEqual(await of("--from", `${fourth! + 100}`), []);
  assert.deepEqual(await of("--values", "none", "--limit=1"), [undefined]);
  assert.deepEqual(await of("--values", "hex", "--limit=1"), ["35"]);
  const { out } = await run(server, ["history", "c/k", "--values=none"]);
  assert.match(out, /^REVISION +CHANGE +VERSION +LEASE +SIZE\n/);
});

Deno.test("stele history --prefix shows many keys in the order of their changes", async () => {
  await using server = await startTestServer();
  await putAll(server, "p/b", "1");
  await putAll(server, "p/a", "2");
  await putAll(server, "q", "3");
  await putAll(server, "p/b", "4");
  const rows = await json(server, "history", "--prefix", "p/");
  assert.deepEqual(rows.map(({ key, value }) => [key, value]), [
    ["p/b", "1"],
    ["p/a", "2"],
    ["p/b", "4"],
  ]);
  const { out } = await run(server, ["history", "--prefix", "p/", "-w=table"]);
  assert.match(out, /\| SIZE \| KEY +\| VALUE \|\n/);
  const all = await json(server, "history", "--prefix", "", "--limit=2");
  assert.deepEqual(all.map(({ key }) => key), ["q", "p/b"]);
});

Deno.test("stele history begins with what a compaction left", async () => {
  await using server = await startTestServer();
  const [, second, third] = await putAll(server, "h", "1", "2", "3");
  await putAll(server, "other", "x");
  const compacted = Number((await server.client.put("z", "z")).header.revision);
  await server.client.kv.call("Compact", { revision: compacted });
  await putAll(server, "h", "4");
  const { status, err, process } = await run(server, [
    "history",
    "h",
    "--values=text",
  ]);
  assert.equal(status, 0);
  assert.match(process.out, new RegExp(`^ +${third} +put +3 +1 +3$`, "m"));
  assert.equal(process.out.trimEnd().split("\n").length, 3);
  assert.equal(
    err,
    `Older changes are compacted; ${compacted} is the oldest revision\n`,
  );
  const rows = await json(server, "history", "h", `--from=${third! + 1}`);
  assert.deepEqual(rows.map(({ value }) => value), ["4"]);
  const early = await json(server, "history", "h", `--to=${second}`);
  assert.deepEqual(early, []);
});

Deno.test("stele history finds keys that never changed", async () => {
  await using server = await startTestServer();
  const { status, out, err } = await run(server, ["history", "nothing"]);
  assert.equal(status, 0);
  assert.match(out, /^REVISION.*\n$/);
  assert.ok(err.endsWith('No changes of "nothing"\n'));
});

Deno.test("stele history --at shows a key as it was", async () => {
  await using server = await startTestServer();
  const [first, second] = await putAll(server, "a", "1", "2");
  const end = await deleteKey(server, "a");
  const at = async (revision: number) =>
    (await json(server, "history", "a", `--at=${revision}`))[0];
  assert.equal((await at(first!)).value, "1");
  assert.equal((await at(second!)).value, "2");
  const gone = await run(server, ["history", "a", `--at=${end}`]);
  assert.equal(gone.status, 1);
  assert.equal(gone.err, `No value of "a" at revision ${end}\n`);
  const future = await run(server, ["history", "a", `--at=${end + 1}`]);
  assert.equal(future.status, 1);
  assert.equal(
    future.err,
    'stele: Cannot read the history of "a": etcdserver: mvcc: required revision is a future revision\n',
  );
});

Deno.test("stele diff shows what was added, removed and changed", async () => {
  await using server = await startTestServer();
  await putAll(server, "d/changed", "old");
  await putAll(server, "d/removed", "gone");
  await putAll(server, "d/rewritten", "same");
  await putAll(server, "d/same", "same");
  const from = (await putAll(server, "elsewhere", "1"))[0]!;
  const [changed] = await putAll(server, "d/changed", "new");
  await deleteKey(server, "d/removed");
  await putAll(server, "d/rewritten", "same");
  const [added] = await putAll(server, "d/added", "more");
  const to = (await putAll(server, "elsewhere", "2"))[0]!;
  await putAll(server, "d/later", "x");
  const range = ["--from", `${from}`, "--to", `${to}`];
  const rows = await json(server, "diff", ...range, "d/");
  assert.deepEqual(
    rows.map(({ kind, key, before, after }) => [
      kind,
      key,
      before?.value,
      after?.value,
    ]),
    [
      ["added", "d/added", undefined, "more"],
      ["changed", "d/changed", "old", "new"],
      ["removed", "d/removed", "gone", undefined],
    ],
  );
  assert.equal(rows[0].after.modRevision, added);
  assert.equal(rows[0].after.version, 1);
  assert.equal(rows[1].after.modRevision, changed);
  const { out, status } = await run(server, ["diff", ...range, "d/", "--all"]);
  assert.equal(status, 0);
  const lines = out.trimEnd().split("\n");
  assert.deepEqual(lines.slice(1, 5).map((line) => line[0]), [..."+~-="]);
  assert.equal(
    lines[5],
    `Revision ${from} to ${to}: 1 key added, 1 removed, 1 changed, 1 rewritten as they were`,
  );
  const now = await json(server, "diff", "--from", `${to}`);
  assert.deepEqual(now.map(({ key }) => key), ["d/later"]);
  const back = await json(server, "diff", `--from=${to}`, `--to=${from}`, "e");
  assert.deepEqual(
    back.map(({ before, after }) => [before.value, after.value]),
    [["2", "1"]],
  );
});

Deno.test("stele diff ends like diff with --exit-code", async () => {
  await using server = await startTestServer();
  const [first, second] = await putAll(server, "e", "1", "2");
  const differs = ["diff", `--from=${first}`, "--exit-code"];
  assert.equal((await run(server, differs)).status, 1);
  assert.equal((await run(server, differs.slice(0, 2))).status, 0);
  const same = ["diff", `--from=${second}`, "--exit-code"];
  const { status, out } = await run(server, same);
  assert.equal(status, 0);
  assert.equal(
    out,
    `Revision ${second} to ${second}: 0 keys added, 0 removed, 0 changed\n`,
  );
});

Deno.test("stele diff walks more keys than fit in a page", async () => {
  await using server = await startTestServer();
  const fill = async (value: string, from: number, to: number) => {
    for (let at = from; at < to; at += 100) {
      const success = Array.from({ length: 100 }, (_, i) => ({
        request_put: {
          key: Buffer.from(`n/${String(at + i).padStart(5, "0")}`),
          value: Buffer.from(value),
        },
      }));
      await server.client.txn({ success });
    }
    return await server.client.revision();
  };
  const from = await fill("1", 0, 2500);
  await fill("2", 900, 1200);
  await fill("3", 2500, 3600);
  const rows = await json(server, "diff", `--from=${from}`, "--values=none");
  const keys = rows.map(({ key }) => key);
  assert.deepEqual(keys, [...keys].sort());
  assert.equal(new Set(keys).size, 1400);
  const kinds = rows.filter(({ kind }) => kind === "changed");
  assert.equal(kinds.length, 300);
  assert.equal(rows[0].after.value, undefined);
  assert.equal(rows[0].after.size, 1);
});

Deno.test("stele diff says what is compacted", async () => {
  await using server = await startTestServer();
  const [first, second] = await putAll(server, "k", "1", "2");
  await server.client.kv.call("Compact", { revision: second });
  const { status, err, out } = await run(server, ["diff", `--from=${first}`]);
  assert.equal(status, 1);
  assert.equal(out, "");
  assert.equal(
    err,
    "stele: Cannot compare the revisions: etcdserver: mvcc: required revision has been compacted\n",
  );
});

Deno.test("stele compact gives up what is before a revision", async () => {
  await using server = await startTestServer();
  const revisions = await putAll(server, "k", "1", "2", "3", "4", "5");
  const [, second, third, , last] = revisions;
  const { status, out } = await run(server, ["compact", `${second}`]);
  assert.equal(status, 0);
  assert.equal(
    out,
    `Compacted: ${second} is the oldest revision now, ${last} the newest (4 revisions)\n`,
  );
  const [done] = await json(server, "compact", "--keep=3", "--physical");
  assert.equal(done.compacted, true);
  assert.equal(done.physical, true);
  assert.equal(done.compactRevision, third);
  assert.equal(done.currentRevision, last);
  assert.ok(done.inUseBefore > 0 && done.inUseAfter > 0);
  const again = await run(server, ["compact", "--keep", "3"]);
  assert.equal(again.status, 0);
  assert.match(again.out, /^Nothing to compact: .* 3 revisions/);
  const behind = await run(server, ["compact", `${second}`]);
  assert.equal(behind.status, 1);
  assert.equal(
    behind.err,
    "stele: Cannot compact: etcdserver: mvcc: required revision has been compacted\n",
  );
  const kept = await json(server, "history", "k", `--at=${third}`);
  assert.equal(kept[0].value, "3");
});

Deno.test({
  name: "stele status shows sizes, revisions, alarms and the hash",
  ignore: skippedOnReplicas("the status of one server"),
  async fn() {
    await using server = await startTestServer();
    const [, second, last] = await putAll(server, "k", "1", "2", "3");
    await server.client.kv.call("Compact", { revision: second });
    const [row] = await json(server, "status");
    assert.equal(row.endpoint, server.address);
    assert.equal(row.revision, last);
    assert.equal(row.compactRevision, second);
    assert.equal(row.isLeader, true);
    assert.deepEqual(row.errors, []);
    const { hash } = await server.client.maintenance.call("HashKV", {});
    assert.equal(row.hash, hash);
    assert.match(row.memberId, /^[0-9a-f]+$/);
    assert.ok(row.dbSize >= row.dbSizeInUse && row.dbSizeInUse > 0);
    const { members } = await server.client.cluster.call("MemberList", {});
    for (const memberID of [members[0].ID, "0"]) {
      const alarm = { memberID, alarm: "CORRUPT" };
      const raise = { action: "ACTIVATE", ...alarm };
      await server.client.maintenance.call("Alarm", raise);
      const { out, status } = await run(server, ["status", "--no-hash"]);
      assert.equal(status, 0);
      assert.match(out, /^ENDPOINT +ID +VERSION .* ERRORS\n/);
      assert.match(out, /CORRUPT/);
      assert.equal(out.match(/CORRUPT/g)!.length, 1);
      const clear = { action: "DEACTIVATE", ...alarm };
      await server.client.maintenance.call("Alarm", clear);
    }
  },
});

Deno.test("stele status ends with 1 if a server does not answer", async () => {
  await using server = await startTestServer();
  const { status, out } = await run(server, [
    "status",
    `--endpoints=127.0.0.1:1,${server.address}`,
    "-w=table",
  ]);
  assert.equal(status, 1);
  const lines = out.trimEnd().split("\n");
  assert.equal(lines.length, 6);
  assert.match(lines[3]!, /^\| 127\.0\.0\.1:1 +\|.* ECONNREFUSED .*\|$/);
  assert.ok(lines[4]!.includes("true"));
});

Deno.test("stele ends in silence when nobody reads on", async () => {
  await using server = await startTestServer();
  await putAll(server, "pipe", "v");
  const process = new FakeProcess();
  process.stdout = () => {
    throw new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  };
  const { status, err } = await run(server, ["history", "pipe"], process);
  assert.equal(status, 0);
  assert.equal(err, "");
});

Deno.test("stele tells why it cannot reach a server, in one line", async () => {
  await using server = await startTestServer();
  const { status, err } = await run(server, [
    "history",
    "k",
    "--endpoints=127.0.0.1:1",
  ]);
  assert.equal(status, 1);
  assert.match(
    err,
    /^stele: Cannot read the history of "k": connect ECONNREFUSED 127\.0\.0\.1:1\n$/,
  );
});

Deno.test("stele goes to the next endpoint if one is away", async () => {
  await using server = await startTestServer();
  await putAll(server, "next", "v");
  const endpoints = `--endpoints=127.0.0.1:1,${server.address}`;
  assert.equal((await json(server, "history", "next", endpoints)).length, 1);
});

Deno.test("stele logs in with a name and a password", async () => {
  await using server = await startTestServer();
  await putAll(server, "k", "v");
  const { auth } = server.client;
  await auth.call("UserAdd", { name: "root", password: "secret" });
  await auth.call("RoleAdd", { name: "root" });
  await auth.call("UserGrantRole", { user: "root", role: "root" });
  await auth.call("AuthEnable", {});
  try {
    const nobody = await run(server, ["history", "k"]);
    assert.equal(nobody.status, 1);
    assert.match(nobody.err, /: etcdserver: /);
    const wrong = await run(server, ["history", "k", "--user=root:wrong"]);
    assert.equal(wrong.status, 1);
    assert.match(
      wrong.err,
      /authentication failed, invalid user ID or password\n$/,
    );
    assert.ok(!wrong.err.includes("wrong"));
    const right = await run(server, ["history", "k", "--user=root:secret"]);
    assert.equal(right.status, 0, right.err);
    const process = new FakeProcess();
    process.secret = "secret";
    const asked = await run(server, ["status", "--user=root"], process);
    assert.equal(asked.status, 0, asked.err);
    assert.equal(asked.err, "Password of root: ");
  } finally {
    using root = await server.client.login(server.address, "root", "secret");
    await root.auth.call("AuthDisable", {});
  }
});

Deno.test("EtcdClient logs in again when its token is no longer taken", async () => {
  await using server = await startTestServer();
  const { auth } = server.client;
  const user = "root";
  const password = "secret";
  await auth.call("UserAdd", { name: user, password });
  await auth.call("RoleAdd", { name: "root" });
  await auth.call("UserGrantRole", { user, role: "root" });
  await auth.call("AuthEnable", {});
  using root = await server.client.login(server.address, user, password);
  try {
    using client = new EtcdClient({
      endpoints: [server.address],
      user,
      password,
    });
    const before = await currentRevision(client);
    // Takes the user's tokens away, even if the password stays.
    await root.auth.call("UserChangePassword", { name: user, password });
    assert.equal(await currentRevision(client), before);
  } finally {
    using again = await server.client.login(server.address, user, password);
    await again.auth.call("AuthDisable", {});
  }
});

const LOADS: readonly (readonly [string, readonly string[]])[] = [
  ["put", ["put"]],
  ["get", ["get"]],
  ["range", ["range"]],
  ["txn", ["txn"]],
  ["watch", ["put", "event"]],
  ["mixed", ["range", "get", "put"]],
];

for (const [load, operations] of LOADS) {
  Deno.test(`stele bench ${load} counts its operations, and tidies up`, async () => {
    await using server = await startTestServer();
    const sizes = ["--clients=4", "--total=100", "--keys=50", "--val-size=10"];
    const rows = await json(server, "bench", load, ...sizes);
    // In the order in which the first of each was done: from outside, a watcher may be told first.
    assert.deepEqual(
      rows.map(({ operation }) => operation).sort(),
      [...operations].sort(),
    );
    const events = load === "watch" ? 400 : 0;
    assert.equal(rows.reduce((sum, { count }) => sum + count, 0), 100 + events);
    for (const row of rows) {
      assert.equal(row.errors, 0);
      assert.ok(row.p50Ms <= row.p90Ms && row.p90Ms <= row.p99Ms);
      assert.ok(row.p99Ms <= row.maxMs && row.maxMs > 0);
    }
    const left = await server.client.range("stele-bench/", "stele-bench0");
    assert.deepEqual(left.kvs.map(({ key }: Message) => String(key)), []);
    assert.equal(left.count, "0");
  });
}

Deno.test("stele bench shows what it had when it is interrupted", async () => {
  await using server = await startTestServer();
  const process = new FakeProcess();
  process.isTty = true;
  const running = run(
    server,
    ["bench", "put", "--duration=1h", "--clients=2"],
    process,
  );
  await eventually("progress", () => process.err.includes("put: "));
  process.signal("SIGINT");
  const { status, out, err } = await running;
  assert.equal(status, 130);
  assert.match(out, /^OPERATION .*\nput +\d+ +0 /);
  assert.ok(err.startsWith("\r\x1b[Kput: "));
  assert.match(err, /put: \d+, \d+ a second/);
  assert.deepEqual(process.exits, []);
  const left = await server.client.range("stele-bench/", "stele-bench0");
  assert.equal(left.count, "0");
});

Deno.test("stele ends for a signal while it waits, and says nothing", async () => {
  // Takes connections and never answers.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Deno.Conn[] = [];
  const accepted = Promise.withResolvers<void>();
  const accepting = (async () => {
    for await (const connection of listener) {
      connections.push(connection);
      accepted.resolve();
    }
  })();
  try {
    const process = new FakeProcess();
    const endpoint = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
    const status = main(
      ["status", "--command-timeout=0", `--endpoints=${endpoint}`],
      process,
      () => Promise.reject(new Error("no server was to be started")),
    );
    await accepted.promise;
    process.signal("SIGINT");
    assert.equal(await status, 130);
    assert.equal(process.err, "");
    process.signal("SIGINT");
    assert.deepEqual(process.exits, []);
  } finally {
    listener.close();
    for (const connection of connections) connection.close();
    await accepting;
  }
});
