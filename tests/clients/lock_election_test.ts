import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import assert from "node:assert/strict";
import { type Message, ServiceClient } from "../support/etcd_client.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { skip } from "./tool.ts";

const DEFINITION = loader.loadSync([
  "v3lockpb/v3lock.proto",
  "v3electionpb/v3election.proto",
], {
  includeDirs: [new URL("../../proto/", import.meta.url).pathname],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
});
// deno-lint-ignore no-explicit-any
const PACKAGES = grpc.loadPackageDefinition(DEFINITION) as any;

interface Fixture {
  readonly server: TestServer;
  readonly lock: ServiceClient;
  readonly election: ServiceClient;
  /** Names what only this test uses. */
  readonly name: Buffer;
  lease(): Promise<string>;
}

function coordinationTest(
  name: string,
  test: (fixture: Fixture) => Promise<void>,
) {
  Deno.test(`grpc-js: ${name}`, async () => {
    await using server = await startTestServer();
    const lock = new ServiceClient(PACKAGES.v3lockpb.Lock, server.address, {});
    const election = new ServiceClient(
      PACKAGES.v3electionpb.Election,
      server.address,
      {},
    );
    try {
      const probe = await lock.call("Unlock", { key: Buffer.from("none") })
        .catch((error) => error as grpc.ServiceError);
      if (probe.code === grpc.status.UNIMPLEMENTED) {
        return skip("the server has no lock service yet");
      }
      await test({
        server,
        lock,
        election,
        name: Buffer.from(`/${crypto.randomUUID()}`),
        lease: async () =>
          (await server.client.lease.call("LeaseGrant", { TTL: 60 })).ID,
      });
    } finally {
      lock.close();
      election.close();
    }
  });
}

coordinationTest(
  "Lock waits for the holder, and Unlock lets the next one in",
  async ({ server, lock, name, lease }) => {
    const [first, second] = [await lease(), await lease()];
    const held = await lock.call("Lock", { name, lease: first });
    assert.equal(String(held.key), `${name}/${BigInt(first).toString(16)}`);
    const again = await lock.call("Lock", { name, lease: first });
    assert.deepEqual(again.key, held.key);
    let entered = false;
    const waiting = lock.call("Lock", { name, lease: second });
    void waiting.then(() => entered = true);
    await keysUnder(server, name, 2);
    assert.equal(entered, false);
    await lock.call("Unlock", { key: held.key });
    assert.equal(
      String((await waiting).key),
      `${name}/${BigInt(second).toString(16)}`,
    );
    await server.client.lease.call("LeaseRevoke", { ID: second });
    await keysUnder(server, name, 0);
  },
);

coordinationTest(
  "Lock without a lease grants one of 60 seconds",
  async ({ server, lock, name }) => {
    const { key } = await lock.call("Lock", { name });
    const { kvs } = await server.client.range(String(key));
    const { grantedTTL } = await server.client.lease.call("LeaseTimeToLive", {
      ID: kvs[0].lease,
    });
    assert.equal(grantedTTL, "60");
    await lock.call("Unlock", { key });
  },
);

coordinationTest(
  "Lock that is given up leaves no key",
  async ({ server, lock, name, lease }) => {
    const held = await lock.call("Lock", { name, lease: await lease() });
    const abandoned = lock.call("Lock", { name, lease: await lease() }, {
      deadline: Date.now() + 300,
    });
    await assert.rejects(abandoned, { code: grpc.status.DEADLINE_EXCEEDED });
    await keysUnder(server, name, 1);
    await lock.call("Unlock", { key: held.key });
  },
);

coordinationTest("Lock with no such lease", async ({ lock, name }) => {
  await assert.rejects(lock.call("Lock", { name, lease: "12345" }), {
    details: "etcdserver: requested lease not found",
  });
});

coordinationTest(
  "Campaign, Proclaim, Leader, Observe and Resign",
  async ({ server, election, name, lease }) => {
    await assert.rejects(election.call("Leader", { name }), {
      details: "election: no leader",
    });
    const observed: string[] = [];
    const observer = election.stream("Observe", { name });
    let wake = () => {};
    observer.on("data", (m: Message) => {
      observed.push(String(m.kv.value));
      wake();
    });
    observer.on("error", () => {});
    const seen = async (value: string) => {
      while (!observed.includes(value)) {
        await new Promise<void>((resolve) => wake = resolve);
      }
    };
    const [one, two] = [await lease(), await lease()];
    const won = await election.call("Campaign", {
      name,
      lease: one,
      value: Buffer.from("one"),
    });
    assert.deepEqual([String(won.leader.name), won.leader.lease], [
      String(name),
      one,
    ]);
    await seen("one");
    await election.call("Proclaim", {
      leader: won.leader,
      value: Buffer.from("one again"),
    });
    await seen("one again");
    const leader = await election.call("Leader", { name });
    assert.deepEqual([String(leader.kv.value), leader.kv.create_revision], [
      "one again",
      won.leader.rev,
    ]);
    const next = election.call("Campaign", {
      name,
      lease: two,
      value: Buffer.from("two"),
    });
    await keysUnder(server, name, 2);
    await election.call("Resign", { leader: won.leader });
    const successor = await next;
    await seen("two");
    await assert.rejects(
      election.call("Proclaim", {
        leader: won.leader,
        value: Buffer.from("no"),
      }),
      { details: "election: not leader" },
    );
    await election.call("Resign", { leader: successor.leader });
    observer.cancel();
  },
);

coordinationTest(
  "elections refuse what is incomplete",
  async ({ election }) => {
    await assert.rejects(election.call("Resign", {}), {
      details: '"leader" field must be provided',
    });
    await assert.rejects(
      election.call("Proclaim", { value: Buffer.from("v") }),
      { details: '"leader" field must be provided' },
    );
  },
);

/** Waits until there are `count` keys under `name`. */
async function keysUnder(
  server: TestServer,
  name: Buffer,
  count: number,
): Promise<void> {
  const deadline = Date.now() + 5000;
  for (;;) {
    const found = await server.client.range(`${name}/`, `${name}0`);
    if (Number(found.count) === count) return;
    assert(Date.now() < deadline, `${found.count} keys, not ${count}`);
  }
}
