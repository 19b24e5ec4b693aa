import assert from "node:assert/strict";
import type { EtcdClient, Message } from "../support/etcd_client.ts";
import { eventually, failure } from "../support/failure.ts";
import { startTestServer } from "../support/server.ts";

const bytes = (text: string) => Buffer.from(text);

async function grant(client: EtcdClient, TTL = 60): Promise<string> {
  return (await client.lease.call("LeaseGrant", { TTL })).ID;
}

/** One election, of a name of its own. */
class Election {
  readonly name = `election-${crypto.randomUUID()}`;

  constructor(readonly client: EtcdClient) {}

  campaign(lease: string, value: string, options = {}): Promise<Message> {
    const request = { name: bytes(this.name), lease, value: bytes(value) };
    const answer = this.client.election.call("Campaign", request, options);
    answer.catch(() => {}); // one that still waits when a test fails hides why
    return answer;
  }

  proclaim(leader: Message, value: string): Promise<Message> {
    return this.client.election.call("Proclaim", {
      leader,
      value: bytes(value),
    });
  }

  resign(leader: Message): Promise<Message> {
    return this.client.election.call("Resign", { leader });
  }

  leader(): Promise<Message> {
    return this.client.election.call("Leader", { name: bytes(this.name) });
  }

  async leaderValue(): Promise<string> {
    return (await this.leader()).kv.value.toString();
  }

  /** Waits until there are `count` candidates. */
  async candidates(count: number): Promise<void> {
    await eventually(`${count} candidates`, async () => {
      const all = await this.client.range(`${this.name}/`, `${this.name}0`);
      return Number(all.count) === count;
    });
  }

  observe(): Observer {
    const request = { name: bytes(this.name) };
    return new Observer(this.client.election.stream("Observe", request));
  }
}

/** What an Observe call told. */
class Observer {
  readonly values: string[] = [];
  readonly revisions: [header: number, mod: number][] = [];

  // deno-lint-ignore no-explicit-any
  constructor(readonly stream: any) {
    stream.on("data", ({ kv, header }: Message) => {
      this.values.push(kv.value.toString());
      this.revisions.push([Number(header.revision), Number(kv.mod_revision)]);
    });
    stream.on("error", () => {});
  }

  async saw(...values: string[]): Promise<void> {
    try {
      await eventually(
        "the values",
        () => this.values.length >= values.length,
      );
    } finally {
      assert.deepEqual(this.values, values);
    }
  }

  [Symbol.dispose](): void {
    this.stream.cancel();
  }
}

Deno.test("Leader fails while nobody leads", async () => {
  await using server = await startTestServer();
  assert.deepEqual(await failure(new Election(server.client).leader()), {
    code: 2,
    message: "election: no leader",
  });
});

Deno.test("Campaign answers with the leader's key, and its revision", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  const lease = await grant(client);
  const before = await client.revision();
  const { header, leader } = await election.campaign(lease, "one");
  assert.equal(Number(header.revision), before + 1);
  assert.deepEqual(
    [leader.name.toString(), leader.key.toString(), leader.rev, leader.lease],
    [
      election.name,
      `${election.name}/${BigInt(lease).toString(16)}`,
      header.revision,
      lease,
    ],
  );
  const { kv } = await election.leader();
  assert.deepEqual(
    [kv.key.toString(), kv.value.toString(), kv.create_revision, kv.lease],
    [leader.key.toString(), "one", leader.rev, lease],
  );
});

Deno.test("Campaign without a lease gets one of 60 seconds", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const { leader } = await new Election(client).campaign("0", "one");
  const ttl = await client.lease.call("LeaseTimeToLive", { ID: leader.lease });
  assert.equal(ttl.grantedTTL, "60");
});

Deno.test("Campaign of a lease that is a candidate keeps its place, and takes the new value", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  const lease = await grant(client);
  const first = await election.campaign(lease, "one");
  const same = await election.campaign(lease, "one");
  assert.deepEqual(same.leader, first.leader);
  assert.equal(await client.revision(), Number(first.header.revision));
  const changed = await election.campaign(lease, "two");
  assert.deepEqual(changed.leader, first.leader);
  assert.equal(await election.leaderValue(), "two");
  assert.equal(await client.revision(), Number(first.header.revision) + 1);
});

Deno.test("Campaign waits for the leader, who may resign or lose its lease", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  const one = await election.campaign(await grant(client), "one");
  const lease = await grant(client);
  const two = election.campaign(lease, "two");
  await election.candidates(2);
  const three = election.campaign(await grant(client), "three");
  await election.candidates(3);
  assert.equal(await election.leaderValue(), "one");
  await election.resign(one.leader);
  assert.equal((await two).leader.lease, lease);
  assert.equal(await election.leaderValue(), "two");
  await client.lease.call("LeaseRevoke", { ID: lease });
  await three;
  assert.equal(await election.leaderValue(), "three");
});

Deno.test("Campaign that is given up leaves no candidate", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  await election.campaign(await grant(client), "one");
  const late = failure(
    election.campaign(await grant(client), "two", {
      deadline: Date.now() + 500,
    }),
  );
  await election.candidates(2);
  assert.equal((await late).code, 4);
  await election.candidates(1);
});

Deno.test("Proclaim is for the leader alone, and resigning twice is no matter", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  const { leader } = await election.campaign(await grant(client), "one");
  const { header } = await election.proclaim(leader, "more");
  const { kv } = await election.leader();
  assert.deepEqual(
    [kv.value.toString(), kv.mod_revision, kv.create_revision],
    ["more", header.revision, leader.rev],
  );
  const resigned = await election.resign(leader);
  assert.equal(
    Number(resigned.header.revision),
    Number(header.revision) + 1,
  );
  const again = await election.resign(leader);
  assert.equal(again.header.revision, resigned.header.revision);
  assert.deepEqual(await failure(election.proclaim(leader, "x")), {
    code: 2,
    message: "election: not leader",
  });
});

for (const method of ["Proclaim", "Resign"]) {
  Deno.test(`${method} needs to know of which leader`, async () => {
    await using server = await startTestServer();
    const call = server.client.election.call(method, {});
    assert.deepEqual(await failure(call), {
      code: 2,
      message: '"leader" field must be provided',
    });
  });
}

Deno.test("Observe tells each leader and each value, from the present on", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  using early = election.observe();
  const one = await election.campaign(await grant(client), "one");
  await early.saw("one");
  for (const value of ["a", "b", "c"]) {
    await election.proclaim(one.leader, value);
  }
  await early.saw("one", "a", "b", "c");
  using late = election.observe();
  await late.saw("c");
  const two = election.campaign(await grant(client), "two");
  await election.candidates(2);
  await client.put(`${election.name}/stranger`, "not a leader yet");
  await election.resign(one.leader);
  await two;
  await early.saw("one", "a", "b", "c", "two");
  await late.saw("c", "two");
  for (const [header, mod] of [...early.revisions, ...late.revisions]) {
    assert.ok(header >= mod);
  }
});

Deno.test("Observe outlives compactions of what it did not care about", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  const { leader } = await election.campaign(await grant(client), "one");
  using observer = election.observe();
  await observer.saw("one");
  for (let i = 0; i < 50; i++) await client.put(`${election.name}-other`);
  await client.kv.call("Compact", { revision: await client.revision() });
  await election.proclaim(leader, "two");
  await observer.saw("one", "two");
});

Deno.test("Observe of a client that does not read costs bounded memory, and ends with the newest value", async () => {
  await using server = await startTestServer();
  const { client } = server;
  const election = new Election(client);
  const { leader } = await election.campaign(await grant(client), "first");
  using observer = election.observe();
  await observer.saw("first");
  observer.stream.pause();
  const big = "x".repeat(200 << 10);
  for (let i = 0; i < 60; i++) await election.proclaim(leader, `${i}${big}`);
  await election.proclaim(leader, "last");
  observer.stream.resume();
  await eventually("the last value", () => observer.values.at(-1) === "last");
  const order = observer.values.slice(1, -1).map((value) =>
    parseInt(value, 10)
  );
  assert.deepEqual(order, order.toSorted((a, b) => a - b));
});
