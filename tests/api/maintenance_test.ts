import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { skippedOnReplicas } from "../support/cluster.ts";
import { IS_EMBEDDED } from "../support/databases.ts";
import type { Message } from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

Deno.test("Status fills every field", async () => {
  await using server = await startTestServer();
  const status = await server.client.maintenance.call("Status");
  assert.match(status.version, /^3\.7\.\d+$/);
  const [size, inUse] = [status.dbSize, status.dbSizeInUse].map(Number);
  // In a shared database, the tables of an empty store hold nothing.
  assert.ok(size! > 0 && inUse! <= size! && (inUse! > 0 || !IS_EMBEDDED));
  assert.equal(status.leader, status.header.member_id);
  assert.ok(Number(status.raftIndex) > 0 && Number(status.raftTerm) > 0);
  assert.deepEqual([status.errors, status.isLearner], [[], false]);
});

Deno.test({
  name: "the ids of a server do not change over restarts",
  ignore: skippedOnReplicas("which server has which id"),
  async fn() {
    const dataDir = await Deno.makeTempDir();
    const ids = async () => {
      await using server = await startTestServer({ dataDir });
      const { header } = await server.client.maintenance.call("Status");
      return [header.cluster_id, header.member_id];
    };
    const first = await ids();
    assert.deepEqual(await ids(), first);
    assert.ok(first.every((id) => id !== "0"));
    await Deno.remove(dataDir, { recursive: true });
  },
});

Deno.test("the quota raises NOSPACE before the space is gone, and clears it when there is room again", async () => {
  await using server = await startTestServer({ quotaBackendBytes: 2 << 20 });
  const { client } = server;
  const value = "x".repeat(100_000);
  let refused: { code: number; message: string } | undefined;
  for (let i = 0; i < 40 && refused === undefined; i++) {
    try {
      await client.put("k", value);
    } catch (error) {
      const { code, details } = error as { code: number; details: string };
      refused = { code, message: details };
    }
  }
  assert.deepEqual(refused, {
    code: 8,
    message: "etcdserver: mvcc: database space exceeded",
  });
  await eventually(
    "the alarm is set",
    async () =>
      (await client.maintenance.call("Alarm")).alarms[0]?.alarm === "NOSPACE",
  );
  assert.equal((await failure(client.put("small"))).code, 8);
  await client.range("k");
  await client.delete("none");
  await client.kv.call("Compact", {
    revision: await client.revision(),
    physical: true,
  });
  await client.maintenance.call("Defragment");
  await eventually("the alarm is cleared", async () => {
    await client.maintenance.call("Status");
    return (await client.maintenance.call("Alarm")).alarms.length === 0;
  });
  await client.put("small");
});

Deno.test("an alarm that a client activated stays until a client clears it", async () => {
  await using server = await startTestServer();
  const { maintenance } = server.client;
  const set = await maintenance.call("Alarm", {
    action: "ACTIVATE",
    alarm: "NOSPACE",
  });
  assert.equal(set.alarms[0].alarm, "NOSPACE");
  await maintenance.call("Status");
  assert.equal((await failure(server.client.put("k"))).code, 8);
  const cleared = await maintenance.call("Alarm", {
    action: "DEACTIVATE",
    alarm: "NOSPACE",
  });
  assert.equal(cleared.alarms.length, 1);
  const again = await maintenance.call("Alarm", {
    action: "DEACTIVATE",
    alarm: "NOSPACE",
  });
  assert.equal(again.alarms.length, 0);
  await server.client.put("k");
});

Deno.test("an alarm is that of the member that was named, whether there is one or not", async () => {
  await using server = await startTestServer();
  const { maintenance } = server.client;
  const ids = ["0", "7"];
  for (const memberID of ids) {
    const request = { action: "ACTIVATE", memberID, alarm: "NOSPACE" };
    const { alarms } = await maintenance.call("Alarm", request);
    assert.deepEqual(alarms, [{ memberID, alarm: "NOSPACE" }]);
  }
  const { errors } = await maintenance.call("Status");
  // protobuf for Go puts one space or two between fields.
  assert.deepEqual(
    errors.map((text: string) => text.replace("  ", " ")).sort(),
    ["alarm:NOSPACE", "memberID:7 alarm:NOSPACE"],
  );
  for (const memberID of ids) {
    const request = { action: "DEACTIVATE", memberID, alarm: "NOSPACE" };
    const { alarms } = await maintenance.call("Alarm", request);
    assert.equal(alarms.length, 1);
  }
  await server.client.put("k");
});

Deno.test("Downgrade tells a bad version and an unknown action apart from a version that it cannot go to", async () => {
  await using server = await startTestServer();
  const downgrade = async (request: Message) => {
    const call = server.client.maintenance.call("Downgrade", request);
    return (await failure(call)).message;
  };
  const validate = (version: string) => downgrade({ version });
  for (const version of ["", "3", "3.x", "v3.5.0", "3.5.0.0", "3.5-rc.1"]) {
    assert.equal(
      await validate(version),
      "etcdserver: wrong downgrade target version format",
    );
  }
  const tooLong = `${2n ** 63n}.0`;
  assert.equal(
    await validate(tooLong),
    "etcdserver: wrong downgrade target version format",
  );
  for (const version of ["3.5", "3.5.0", "3.5.0-rc.1+x", "4.0"]) {
    assert.equal(
      await validate(version),
      "etcdserver: invalid downgrade target version",
    );
  }
  assert.equal(
    await downgrade({ action: 3, version: "3.5" }),
    "etcdserver: unknown method",
  );
});

Deno.test("HashKV of a negative revision is that of nothing", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const hash = () => client.maintenance.call("HashKV", { revision: -1 });
  const before = await hash();
  await client.put("k");
  const after = await hash();
  assert.deepEqual(
    [after.hash, after.hash_revision, after.header.revision],
    [before.hash, "-1", String(await client.revision())],
  );
});

Deno.test("HashKV of a revision stays the same while the store goes on", async () => {
  await using server = await startTestServer();
  const { client } = server;
  for (let i = 0; i < 20; i++) await client.put(`k${i % 7}`, `${i}`);
  const revision = await client.revision();
  const hash = async () =>
    (await client.maintenance.call("HashKV", { revision })).hash;
  const first = await hash();
  for (let i = 0; i < 20; i++) await client.put(`k${i % 9}`, `${i}`);
  await client.delete("k1");
  assert.equal(await hash(), first);
  assert.notEqual((await client.maintenance.call("HashKV")).hash, first);
});

Deno.test("Snapshot streams the file and its SHA-256", async () => {
  await using server = await startTestServer();
  for (let i = 0; i < 50; i++) {
    await server.client.put(`k${i}`, "v".repeat(2000));
  }
  const parts: Message[] = [];
  for await (const part of server.client.maintenance.stream("Snapshot", {})) {
    parts.push(part);
  }
  const blobs = parts.map((p) => p.blob as Uint8Array);
  const digest = blobs.pop()!;
  const hash = createHash("sha256");
  let size = 0;
  for (const blob of blobs) {
    hash.update(blob);
    size += blob.length;
  }
  assert.deepEqual([...digest], [...hash.digest()]);
  assert.equal(size % 512, 0);
  assert.deepEqual(parts.slice(-2).map((p) => p.remaining_bytes), ["0", "0"]);
});

Deno.test({
  name: "what one server cannot do is refused as etcd would",
  ignore: skippedOnReplicas("what one server cannot do"),
  async fn() {
    await using server = await startTestServer();
    const { cluster, maintenance } = server.client;
    const { members } = await cluster.call("MemberList", {
      linearizable: true,
    });
    assert.equal(members.length, 1);
    const codes = [
      failure(cluster.call("MemberRemove", { ID: members[0].ID })),
      failure(cluster.call("MemberRemove", { ID: "1" })),
      failure(cluster.call("MemberPromote", { ID: members[0].ID })),
      failure(cluster.call("MemberAdd", { peerURLs: ["nonsense"] })),
      failure(maintenance.call("MoveLeader", { targetID: "1" })),
    ];
    assert.deepEqual(
      (await Promise.all(codes)).map(({ code, message }) => [code, message]),
      [
        [
          2,
          "etcdserver: re-configuration failed due to not enough started members",
        ],
        [5, "etcdserver: member not found"],
        [9, "etcdserver: can only promote a learner member"],
        [3, "etcdserver: given member URLs are invalid"],
        [9, "etcdserver: bad leader transferee"],
      ],
    );
    await maintenance.call("MoveLeader", { targetID: members[0].ID });
    const none = await maintenance.call("Downgrade", { action: "CANCEL" });
    assert.equal(
      none.version,
      "3.7",
      "there is no job to cancel, and that is fine",
    );
    assert.equal((await server.client.auth.call("AuthStatus")).enabled, false);
  },
});
