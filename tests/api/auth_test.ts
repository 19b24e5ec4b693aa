import assert from "node:assert/strict";
import { skippedOnReplicas } from "../support/cluster.ts";
import { IS_EMBEDDED } from "../support/databases.ts";
import { EtcdClient, type Message, op } from "../support/etcd_client.ts";
import { failure } from "../support/failure.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

const bytes = (text: string) => Buffer.from(text);

const DENIED = { code: 7, message: "etcdserver: permission denied" };
const USER_EMPTY = { code: 3, message: "etcdserver: user name is empty" };
const INVALID_TOKEN = { code: 16, message: "etcdserver: invalid auth token" };

/**
 * A server with auth on, and the clients of its users:
 *
 *   root    the root role
 *   alice   reads and writes a/…, reads shared
 *   bob     reads and writes b/…, writes shared
 */
class AuthFixture implements AsyncDisposable {
  readonly #clients: EtcdClient[] = [];

  private constructor(readonly server: TestServer) {}

  root!: EtcdClient;
  alice!: EtcdClient;
  bob!: EtcdClient;

  /** Not logged in. */
  get nobody(): EtcdClient {
    return this.server.client;
  }

  static async start(overrides = {}): Promise<AuthFixture> {
    const server = await startTestServer({ bcryptCost: 4, ...overrides });
    const f = new AuthFixture(server);
    const { auth } = server.client;
    for (const name of ["root", "alice", "bob"]) {
      await auth.call("UserAdd", { name, password: `${name}'s` });
    }
    await auth.call("UserGrantRole", { user: "root", role: "root" });
    for (const [user, prefix] of [["alice", "a/"], ["bob", "b/"]] as const) {
      await auth.call("RoleAdd", { name: user });
      await f.#grant(user, "READWRITE", prefix, prefix.replace("/", "0"));
      await auth.call("UserGrantRole", { user, role: user });
    }
    await f.#grant("alice", "READ", "shared", "");
    await f.#grant("bob", "WRITE", "shared", "");
    await auth.call("AuthEnable");
    f.root = await f.login("root");
    f.alice = await f.login("alice");
    f.bob = await f.login("bob");
    return f;
  }

  async login(name: string, password = `${name}'s`): Promise<EtcdClient> {
    const client = await this.nobody.login(this.server.address, name, password);
    this.#clients.push(client);
    return client;
  }

  async #grant(name: string, permType: string, key: string, end: string) {
    await this.nobody.auth.call("RoleGrantPermission", {
      name,
      perm: { permType, key: bytes(key), range_end: bytes(end) },
    });
  }

  async [Symbol.asyncDispose]() {
    for (const client of this.#clients) client.close();
    await this.server[Symbol.asyncDispose]();
  }
}

Deno.test("Auth cannot be enabled without the root user and its role, and is off at first", async () => {
  await using server = await startTestServer({ bcryptCost: 4 });
  const { auth } = server.client;
  const status = await auth.call("AuthStatus");
  assert.equal(status.enabled, false);
  assert.equal(status.authRevision, "1");
  assert.deepEqual(await failure(auth.call("AuthEnable")), {
    code: 9,
    message: "etcdserver: root user does not exist",
  });
  await auth.call("UserAdd", { name: "root", password: "r" });
  assert.deepEqual(await failure(auth.call("AuthEnable")), {
    code: 9,
    message: "etcdserver: root user does not have root role",
  });
  assert.deepEqual(
    await failure(auth.call("Authenticate", { name: "root", password: "r" })),
    { code: 9, message: "etcdserver: authentication is not enabled" },
  );
  await auth.call("UserGrantRole", { user: "root", role: "root" });
  await auth.call("AuthEnable");
  const { token } = await auth.call("Authenticate", {
    name: "root",
    password: "r",
  });
  // Servers that share a database can tell each other's tokens, which say more for it.
  assert.match(
    token,
    IS_EMBEDDED ? /^[A-Za-z]{16}\.\d+$/ : /^[\w-]+\.\d+$/,
  );
  const later = await auth.call("AuthStatus");
  assert.deepEqual([later.enabled, later.authRevision], [true, "3"]);
  using root = EtcdClient.withToken(server.address, token);
  await root.auth.call("AuthDisable");
  assert.equal((await auth.call("AuthStatus")).enabled, false);
});

Deno.test("Authenticate refuses wrong passwords and unknown users alike", async () => {
  await using f = await AuthFixture.start();
  const refused = {
    code: 3,
    message: "etcdserver: authentication failed, invalid user ID or password",
  };
  assert.deepEqual(await failure(f.login("alice", "wrong")), refused);
  assert.deepEqual(await failure(f.login("alice", "")), refused);
  assert.deepEqual(await failure(f.login("nobody", "x")), refused);
  assert.deepEqual(await failure(f.login("", "")), refused);
  await f.root.auth.call("UserAdd", {
    name: "cert",
    options: { no_password: true },
  });
  assert.deepEqual(await failure(f.login("cert", "x")), {
    code: 2,
    message:
      "auth: authentication failed, password was given for no password user",
  });
});

Deno.test("Without a token nothing is served but status and login; with a wrong one not even status", async () => {
  await using f = await AuthFixture.start();
  const { nobody } = f;
  const requests: [string, () => Promise<unknown>][] = [
    ["Range", () => nobody.range("a/1")],
    ["Put", () => nobody.put("a/1")],
    ["DeleteRange", () => nobody.delete("a/1")],
    ["Txn", () => nobody.txn({ success: [op.put("a/1")] })],
    [
      "read-only Txn",
      () => nobody.txn({ success: [{ request_range: { key: bytes("a/1") } }] }),
    ],
    ["Compact", () => nobody.kv.call("Compact", { revision: 1 })],
    ["LeaseGrant", () => nobody.lease.call("LeaseGrant", { TTL: 60 })],
    ["LeaseRevoke", () => nobody.lease.call("LeaseRevoke", { ID: 1 })],
    ["LeaseTimeToLive", () => nobody.lease.call("LeaseTimeToLive", { ID: 1 })],
    ["LeaseLeases", () => nobody.lease.call("LeaseLeases")],
    ["MemberList", () => nobody.cluster.call("MemberList")],
    ["Status", () => nobody.maintenance.call("Status")],
    ["Alarm", () => nobody.maintenance.call("Alarm")],
    ["HashKV", () => nobody.maintenance.call("HashKV")],
    ["Defragment", () => nobody.maintenance.call("Defragment")],
    ["UserList", () => nobody.auth.call("UserList")],
    ["UserAdd", () => nobody.auth.call("UserAdd", { name: "x" })],
    ["AuthDisable", () => nobody.auth.call("AuthDisable")],
  ];
  for (const [name, request] of requests) {
    assert.deepEqual(await failure(request()), USER_EMPTY, name);
  }
  assert.equal((await nobody.auth.call("AuthStatus")).enabled, true);
  using stranger = EtcdClient.withToken(f.server.address, "abcdefghijklmnop.1");
  assert.deepEqual(await failure(stranger.range("a/1")), INVALID_TOKEN);
  assert.deepEqual(
    await failure(stranger.lease.call("LeaseGrant", { TTL: 60 })),
    INVALID_TOKEN,
  );
  assert.deepEqual(
    await failure(stranger.auth.call("AuthStatus")),
    INVALID_TOKEN,
  );
});

Deno.test("A user reads and writes within its ranges, and not a key beyond", async () => {
  await using f = await AuthFixture.start();
  const { alice, bob, root } = f;
  await alice.put("a/1", "x");
  assert.equal((await alice.range("a/", "a0")).count, "1");
  for (
    const denied of [
      () => alice.put("b/1"),
      () => alice.put("shared"),
      () => alice.put("a"),
      () => alice.put("a0"),
      () => alice.range("b/1"),
      () => alice.range("a/", "a0\0"),
      () => alice.range("a/", "\0"),
      () => alice.range("\0", "\0"),
      () => alice.delete("a/", "b0"),
      () => alice.delete("shared"),
      () => bob.range("shared"),
    ]
  ) assert.deepEqual(await failure(denied()), DENIED, denied.toString());
  await bob.put("shared", "from bob");
  assert.equal(
    (await alice.range("shared")).kvs[0].value.toString(),
    "from bob",
  );
  assert.equal((await root.range("\0", "\0")).count, "2");
});

Deno.test("prev_kv needs the right to read, in requests and in transactions", async () => {
  await using f = await AuthFixture.start();
  const { bob } = f;
  await f.root.put("shared", "secret");
  await bob.put("shared", "1");
  assert.deepEqual(
    await failure(bob.put("shared", "2", { prev_kv: true })),
    DENIED,
  );
  assert.deepEqual(
    await failure(bob.delete("shared", "", { prev_kv: true })),
    DENIED,
  );
  assert.deepEqual(
    await failure(
      bob.txn({ success: [op.put("shared", "2", { prev_kv: true })] }),
    ),
    DENIED,
  );
  const doomed = {
    request_delete_range: { key: bytes("shared"), prev_kv: true },
  };
  assert.deepEqual(await failure(bob.txn({ failure: [doomed] })), DENIED);
});

Deno.test("Compares need the right to read what they compare, ranges included", async () => {
  await using f = await AuthFixture.start();
  const compare = (key: string, end = "") => ({
    compare: [{
      result: "EQUAL",
      target: "VALUE",
      key: bytes(key),
      range_end: bytes(end),
      value: bytes("guess"),
    }],
  });
  assert.deepEqual(await failure(f.alice.txn(compare("b/1"))), DENIED);
  assert.deepEqual(await failure(f.bob.txn(compare("shared"))), DENIED);
  assert.deepEqual(await failure(f.alice.txn(compare("a/", "\0"))), DENIED);
  assert.equal((await f.alice.txn(compare("a/", "a0"))).succeeded, false);
});

Deno.test("Nested transactions are looked at on both branches, whichever is taken", async () => {
  await using f = await AuthFixture.start();
  const inner: Message[] = [
    op.put("b/1", "x"),
    { request_range: { key: bytes("b/1") } },
    { request_delete_range: { key: bytes("a/"), range_end: bytes("b0") } },
    op.put("a/1", "x", { prev_kv: true, lease: "0" }),
  ];
  const allowed = inner.pop()!;
  for (const forbidden of inner) {
    for (const branch of ["success", "failure"]) {
      const nested = { request_txn: { [branch]: [forbidden] } };
      const deep = { request_txn: { [branch]: [nested] } };
      for (const request of [forbidden, nested, deep]) {
        assert.deepEqual(
          await failure(f.alice.txn({ success: [request] })),
          DENIED,
        );
        assert.deepEqual(
          await failure(f.alice.txn({ failure: [request] })),
          DENIED,
        );
      }
    }
  }
  const nestedCompare = {
    request_txn: {
      compare: [{ target: "VERSION", key: bytes("b/1"), version: 0 }],
    },
  };
  assert.deepEqual(
    await failure(f.alice.txn({ success: [nestedCompare] })),
    DENIED,
  );
  assert.equal((await f.root.range("\0", "\0")).count, "0");
  await f.alice.txn({ success: [{ request_txn: { success: [allowed] } }] });
});

Deno.test("A lease with keys that a user may not write is not that user's to end, keep, or tie keys to", async () => {
  await using f = await AuthFixture.start();
  const { alice, bob, root } = f;
  const { ID } = await bob.lease.call("LeaseGrant", { TTL: 60 });
  await alice.put("a/1", "x", { lease: ID });
  await bob.put("b/1", "x", { lease: "0" });
  // The lease has alice's key now: bob may not touch it, though he made it.
  assert.deepEqual(
    await failure(bob.lease.call("LeaseRevoke", { ID })),
    DENIED,
  );
  assert.deepEqual(await failure(bob.put("b/2", "", { lease: ID })), DENIED);
  assert.deepEqual(
    await failure(bob.txn({ success: [op.put("b/2", "", { lease: ID })] })),
    DENIED,
  );
  assert.deepEqual(
    await failure(bob.txn({
      failure: [{
        request_txn: { success: [op.put("b/2", "", { lease: ID })] },
      }],
    })),
    DENIED,
  );
  assert.deepEqual(
    await failure(bob.lease.call("LeaseTimeToLive", { ID, keys: true })),
    DENIED,
  );
  assert.equal(
    (await bob.lease.call("LeaseTimeToLive", { ID })).grantedTTL,
    "60",
  );
  assert.deepEqual(await failure(bob.lease.call("LeaseLeases")), DENIED);
  assert.equal((await alice.lease.call("LeaseLeases")).leases.length, 1);
  assert.deepEqual(
    await failure(keepAlive(bob, ID).then(() => {})),
    DENIED,
  );
  assert.equal((await keepAlive(alice, ID)).TTL, "60");
  assert.equal((await keepAlive(root, ID)).TTL, "60");
  await alice.lease.call("LeaseRevoke", { ID });
  assert.equal((await root.range("a/1")).count, "0");
});

function keepAlive(client: EtcdClient, ID: string): Promise<Message> {
  return new Promise((resolve, reject) => {
    const stream = client.lease.stream("LeaseKeepAlive");
    stream.on("data", (answer: Message) => {
      stream.end();
      resolve(answer);
    });
    stream.on("error", reject);
    stream.write({ ID });
  });
}

Deno.test("A watch is refused beyond the user's ranges, whatever the form of its end", async () => {
  await using f = await AuthFixture.start();
  const watch = f.alice.openWatch();
  const refusals: [key: string, end: string][] = [
    ["b/1", ""],
    ["a/", "\0"],
    ["", ""],
    ["", "\0"],
    ["a", ""],
    ["a/", "a0\0"],
    ["b/", "b0"],
  ];
  for (const [key, end] of refusals) {
    const answer = await watch.create({
      key: bytes(key),
      range_end: bytes(end),
    });
    assert.deepEqual(
      [answer.created, answer.canceled, answer.watch_id, answer.cancel_reason],
      [
        true,
        true,
        "-1",
        "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
      ],
      `${key}..${end}`,
    );
  }
  const allowed = await watch.create({
    key: bytes("a/"),
    range_end: bytes("a0"),
  });
  assert.equal(allowed.canceled, false);
  await f.bob.put("b/1");
  await f.alice.put("a/1");
  assert.deepEqual(
    (await watch.events(1)).map((e) => e.kv.key.toString()),
    ["a/1"],
  );
  await watch.cancel();
  const anonymous = f.nobody.openWatch();
  assert.equal(
    (await anonymous.create({ key: bytes("a/1") })).cancel_reason,
    "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
  );
  await anonymous.cancel();
});

Deno.test("Administration is root's, except for looking at oneself", async () => {
  await using f = await AuthFixture.start();
  const { alice, root } = f;
  const perm = { permType: "READ", key: bytes("z") };
  const requests: [string, string, Message][] = [
    ["auth", "UserAdd", { name: "x", password: "x" }],
    ["auth", "UserDelete", { name: "bob" }],
    ["auth", "UserList", {}],
    ["auth", "UserGet", { name: "bob" }],
    ["auth", "UserChangePassword", { name: "alice", password: "x" }],
    ["auth", "UserGrantRole", { user: "alice", role: "root" }],
    ["auth", "UserRevokeRole", { name: "bob", role: "bob" }],
    ["auth", "RoleAdd", { name: "x" }],
    ["auth", "RoleList", {}],
    ["auth", "RoleGet", { role: "bob" }],
    ["auth", "RoleDelete", { role: "bob" }],
    ["auth", "RoleGrantPermission", { name: "alice", perm }],
    ["auth", "RoleRevokePermission", { role: "bob", key: bytes("shared") }],
    ["auth", "AuthEnable", {}],
    ["auth", "AuthDisable", {}],
    ["kv", "Compact", { revision: 1 }],
    ["cluster", "MemberAdd", { peerURLs: ["http://127.0.0.1:1"] }],
    ["cluster", "MemberRemove", { ID: "1" }],
    ["cluster", "MemberPromote", { ID: "1" }],
    ["cluster", "MemberUpdate", { ID: "1", peerURLs: ["http://127.0.0.1:1"] }],
    ["maintenance", "Defragment", {}],
    ["maintenance", "Hash", {}],
    ["maintenance", "HashKV", {}],
    ["maintenance", "MoveLeader", {}],
    ["maintenance", "Downgrade", { version: "3.6" }],
    ["maintenance", "Alarm", { action: "ACTIVATE", alarm: "CORRUPT" }],
  ];
  for (const [service, method, request] of requests) {
    const client = alice[service as "auth" | "kv" | "cluster" | "maintenance"];
    assert.deepEqual(
      await failure(client.call(method, request)),
      DENIED,
      method,
    );
  }
  const snapshot = alice.maintenance.stream("Snapshot", {});
  const error = await new Promise<{ code: number }>((resolve) =>
    snapshot.on("error", resolve)
  );
  assert.equal(error.code, 7);
  assert.deepEqual(
    (await alice.auth.call("UserGet", { name: "alice" })).roles,
    ["alice"],
  );
  assert.equal(
    (await alice.auth.call("RoleGet", { role: "alice" })).perm.length,
    2,
  );
  await alice.cluster.call("MemberList");
  await alice.maintenance.call("Status");
  await alice.maintenance.call("Alarm");
  assert.deepEqual(
    (await root.auth.call("UserList")).users,
    ["alice", "bob", "root"],
  );
  assert.deepEqual((await root.auth.call("RoleList")).roles, ["alice", "bob"]);
});

Deno.test("What cannot be a password or a member's address is refused before the caller is asked for", async () => {
  await using f = await AuthFixture.start();
  const tooLong = {
    code: 2,
    message: "bcrypt: password length exceeds 72 bytes",
  };
  for (const client of [f.nobody, f.alice, f.root]) {
    for (
      const [name, password] of [["", "p".repeat(73)], ["x", "€".repeat(25)]]
    ) {
      assert.deepEqual(
        await failure(client.auth.call("UserAdd", { name, password })),
        tooLong,
      );
      assert.deepEqual(
        await failure(
          client.auth.call("UserChangePassword", { name, password }),
        ),
        tooLong,
      );
    }
    for (const peerURLs of [[], ["bogus"]]) {
      assert.deepEqual(
        await failure(client.cluster.call("MemberAdd", { peerURLs })),
        {
          code: 3,
          message: "etcdserver: given member URLs are invalid",
        },
      );
    }
  }
  await f.root.auth.call("UserAdd", { name: "x", password: "p".repeat(72) });
});

Deno.test("A hash for a password has to be base64 as Go reads it", async () => {
  await using f = await AuthFixture.start();
  const change = (name: string, hashedPassword: string) =>
    f.root.auth.call("UserChangePassword", { name, hashedPassword });
  for (const hashed of ["!!", "AAA", "AA A", "AAAA="]) {
    assert.deepEqual(await failure(change("alice", hashed)), {
      code: 2,
      message:
        "auth: authentication failed, password was given for no password user",
    }, hashed);
  }
  assert.deepEqual(await failure(change("carol", "!!")), {
    code: 9,
    message: "etcdserver: user name not found",
  });
  for (const hashed of ["AAAA", "AA==", "AA\nAA", ""]) {
    await change("alice", hashed);
  }
});

Deno.test("Tokens end with the password, the user, and auth itself", async () => {
  await using f = await AuthFixture.start();
  const { root } = f;
  await root.auth.call("UserChangePassword", { name: "alice", password: "2" });
  assert.deepEqual(await failure(f.alice.range("a/1")), INVALID_TOKEN);
  const again = await f.login("alice", "2");
  await again.range("a/1");
  assert.equal((await failure(f.login("alice"))).code, 3);
  await root.auth.call("UserDelete", { name: "bob" });
  assert.deepEqual(await failure(f.bob.range("b/1")), INVALID_TOKEN);
  await root.auth.call("AuthDisable");
  await f.nobody.put("anything");
  await f.nobody.auth.call("AuthEnable");
  assert.deepEqual(await failure(again.range("a/1")), INVALID_TOKEN);
});

Deno.test("What is granted or revoked holds for the next request", async () => {
  await using f = await AuthFixture.start();
  const { alice, root } = f;
  const perm = { permType: "WRITE", key: bytes("z") };
  assert.deepEqual(await failure(alice.put("z")), DENIED);
  await root.auth.call("RoleGrantPermission", { name: "alice", perm });
  await alice.put("z");
  await root.auth.call("RoleRevokePermission", {
    role: "alice",
    key: bytes("z"),
  });
  assert.deepEqual(await failure(alice.put("z")), DENIED);
  await root.auth.call("UserRevokeRole", { name: "alice", role: "alice" });
  assert.deepEqual(await failure(alice.range("a/1")), DENIED);
  await root.auth.call("UserGrantRole", { user: "alice", role: "root" });
  await alice.put("anything");
  await root.auth.call("RoleAdd", { name: "root" });
  assert.deepEqual(
    (await alice.auth.call("RoleGet", { role: "root" })).perm.map((
      p: Message,
    ) => [
      p.permType,
      p.key.toString(),
      p.range_end.toString(),
    ]),
    [["READWRITE", "", "\0"]],
  );
});

Deno.test("Users, roles and the switch survive a restart; tokens if other servers may know them", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "stele-test-" });
  try {
    let token: string;
    {
      await using f = await AuthFixture.start({ dataDir });
      const answer = await f.nobody.auth.call("Authenticate", {
        name: "alice",
        password: "alice's",
      });
      token = answer.token;
      await f.alice.put("a/1", "x");
    }
    await using server = await startTestServer({ dataDir });
    assert.deepEqual(await failure(server.client.range("a/1")), USER_EMPTY);
    using old = EtcdClient.withToken(server.address, token);
    if (IS_EMBEDDED) {
      assert.deepEqual(await failure(old.range("a/1")), INVALID_TOKEN);
    } else assert.equal((await old.range("a/1")).count, "1");
    using alice = await server.client.login(server.address, "alice", "alice's");
    assert.equal((await alice.range("a/1")).count, "1");
    assert.deepEqual(await failure(alice.put("b/1")), DENIED);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("Administrators who change things at the same time do not get in each other's way", async () => {
  await using f = await AuthFixture.start();
  const names = Array.from({ length: 20 }, (_, i) => `r${i}`);
  await Promise.all(names.map((name) => f.root.auth.call("RoleAdd", { name })));
  assert.equal((await f.root.auth.call("RoleList")).roles.length, 22);
});

Deno.test({
  name:
    "The audit log says who asked for what and what became of it, without values",
  ignore: skippedOnReplicas("the log of one server"),
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "stele-test-" });
    const auditLog = `${dir}/audit.log`;
    try {
      {
        await using f = await AuthFixture.start({ auditLog });
        await f.alice.put("a/1", "the value");
        assert.deepEqual(
          await failure(f.alice.put("b/1", "the value")),
          DENIED,
        );
        await f.alice.txn({
          compare: [{ target: "VERSION", key: bytes("a/1"), version: 1 }],
          success: [op.put("a/2", "the value")],
        });
        await failure(f.login("alice", "the password"));
        const watch = f.alice.openWatch();
        await watch.create({ key: bytes("b/"), range_end: bytes("b0") });
        await watch.cancel();
      }
      const text = await Deno.readTextFile(auditLog);
      assert.doesNotMatch(text, /the value|the password|'s|\$2[aby]\$/);
      const entries = text.trimEnd().split("\n").map((line) =>
        JSON.parse(line)
      );
      const told = entries.slice(-5).map((e) => [
        e.user,
        e.method.split("/")[2],
        e.outcome,
        JSON.stringify(e.ranges ?? []),
      ]);
      assert.deepEqual(told, [
        ["alice", "Put", "OK", '[{"key":"a/1"}]'],
        ["alice", "Put", "PermissionDenied", '[{"key":"b/1"}]'],
        ["alice", "Txn", "OK", '[{"key":"a/1"},{"key":"a/2"}]'],
        ["alice", "Authenticate", "InvalidArgument", "[]"],
        [
          "alice",
          "Watch",
          "PermissionDenied",
          '[{"key":"b/","rangeEnd":"b0"}]',
        ],
      ]);
      assert.equal(entries.at(-5).revision, 2);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
