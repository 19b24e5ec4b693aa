import assert from "node:assert/strict";
import { equalBytes, utf8 } from "../../../src/base/bytes.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import { DomainError } from "../../../src/base/errors.ts";
import {
  decodeResponseHeader,
  KVService,
  LeaseService,
  newLeaseTimeToLiveRequest,
  newPutRequest,
  newRangeRequest,
  newRequestOp,
  newTxnRequest,
  type PutRequest,
  type PutResponse,
} from "../../../src/pb/etcdserverpb.ts";
import { Forwarder } from "../../../src/replica/forwarder.ts";
import { SocketPeerTransport } from "../../../src/replica/socket_peer_transport.ts";
import type { PeerTransport } from "../../../src/replica/peer_transport.ts";
import { CapturingLogger } from "../../support/log.ts";
import type { Access } from "../../../src/rpc/access.ts";
import type {
  Method,
  UnaryMethod,
} from "../../../src/transport/grpc/service.ts";
import { Code, type StatusError } from "../../../src/transport/grpc/status.ts";
import {
  failing,
  FakeApi,
  FakeReplicatedLog,
  FakeSequencer,
  rosterEntry,
  SECRET,
  SequencerServer,
} from "../../support/forwarding.ts";
import { FakeCall } from "../transport/grpc/call_doubles.ts";

const PUT = newPutRequest({ key: utf8("k"), value: utf8("v") });

Deno.test("Forwarder passes a write on, and answers with its own member's header", async () => {
  await using world = await World.connected();
  const response = await world.put();
  const header = decodeResponseHeader(response.header!);
  assert.equal(header.memberId, 1n);
  assert.equal(header.revision, 5);
  assert.equal(header.clusterId, 1n);
  assert.deepEqual(world.there.puts, [PUT]);
  assert.equal(world.here.puts.length, 0);
});

Deno.test("Forwarder passes many writes on at once, each with its own answer", async () => {
  await using world = await World.connected();
  world.there.answer = async ({ lease }) => {
    if (lease % 3n === 0n) await pause(1);
    if (lease % 7n === 0n) throw new DomainError("leaseNotFound");
    return world.there.putResponse(Number(lease));
  };
  const leases = Array.from({ length: 1000 }, (_, i) => BigInt(i + 1));
  const results = await Promise.allSettled(
    leases.map((lease) => world.put(newPutRequest({ ...PUT, lease }))),
  );
  for (const [i, result] of results.entries()) {
    if ((i + 1) % 7 === 0) {
      assert.equal(result.status, "rejected");
      const { code, message } = result.reason as StatusError;
      assert.equal(code, Code.NotFound);
      assert.equal(message, "etcdserver: requested lease not found");
    } else {
      assert.equal(result.status, "fulfilled");
      const { header } = result.value;
      assert.equal(decodeResponseHeader(header!).revision, i + 1);
    }
  }
  assert.equal(world.here.puts.length, 0);
});

Deno.test("Forwarder makes writes itself while it is the sequencer, or knows of none", async () => {
  await using world = await World.connected();
  world.replicas.isSequencer = true;
  await world.put();
  assert.equal(world.here.puts.length, 1);
  world.replicas.isSequencer = false;
  world.replicas.sequencer = undefined;
  await world.put();
  assert.equal(world.here.puts.length, 2);
  assert.equal(world.there.puts.length, 0);
});

Deno.test("Forwarder makes a write itself when the other refuses it, and asks who is the sequencer", async () => {
  await using world = await World.connected();
  world.server.role.isSequencer = false;
  await world.put();
  assert.equal(world.here.puts.length, 1);
  assert.equal(world.there.puts.length, 0);
  assert.equal(world.forwarder.refused, 1);
  assert.ok(world.replicas.refreshes > 0);
});

Deno.test("Forwarder connects to a sequencer that it was not told of", async () => {
  await using world = await World.start();
  world.replicas.setQuietly(world.server.entry());
  await until(() => world.forwarder.isConnected);
});

Deno.test("Forwarder passes on a Txn that writes, and no other", async () => {
  await using world = await World.connected();
  const txn = world.method(KVService.methods.txn.path);
  const requestRange = newRangeRequest({ key: utf8("k") });
  const read = newTxnRequest({ success: [newRequestOp({ requestRange })] });
  await txn.handle(read, new FakeCall(), 1);
  assert.deepEqual([world.here.txns, world.there.txns], [1, 0]);
  const write = newTxnRequest({ success: [newRequestOp({ requestPut: PUT })] });
  await txn.handle(write, new FakeCall(), 1);
  assert.deepEqual([world.here.txns, world.there.txns], [1, 1]);
});

Deno.test("Forwarder vouches for the caller that it has found out", async () => {
  await using world = await World.connected();
  const vouched: unknown[] = [];
  const { access } = world.server;
  const vouch = access.vouch.bind(access);
  access.vouch = (call, caller) => {
    vouched.push(caller);
    vouch(call, caller);
  };
  world.caller = () => ({ name: "alice", revision: 12 });
  await world.put();
  world.caller = () => ({ name: "", revision: 12 });
  await world.put();
  world.caller = () => undefined;
  await world.put();
  world.caller = failing("invalidAuthToken");
  await assert.rejects(world.put(), { kind: "invalidAuthToken" });
  assert.deepEqual(vouched, [
    { name: "alice", revision: 12 },
    { name: "", revision: 12 },
    undefined,
  ]);
});

Deno.test("Forwarder finds out again who calls when users or roles have changed meanwhile", async () => {
  await using world = await World.connected();
  const { server, log } = world;
  Object.defineProperties(server.access.auth, {
    isEnabled: { value: true },
    revision: { value: 6 },
  });
  server.log.seq = 9;
  const asked: number[] = [];
  for (const old of [undefined, { name: "alice", revision: 5 }]) {
    log.seq = 8;
    world.caller = () => {
      asked.push(log.seq);
      return log.seq === 8 ? old : { name: "alice", revision: 6 };
    };
    const answered = world.put();
    await until(() => asked.length % 2 === 1);
    await pause(30);
    log.seq = 9;
    await answered;
  }
  assert.deepEqual(asked, [8, 9, 8, 9]);
  assert.deepEqual([world.here.puts.length, world.there.puts.length], [0, 2]);
  world.caller = () => ({ name: "alice", revision: 5 });
  await world.put();
  assert.equal(world.there.puts.length, 3, "who is up to date is believed");
});

Deno.test("Forwarder answers when what was written is applied here", async () => {
  await using world = await World.connected();
  world.server.log.seq = 9;
  world.log.seq = 8;
  let isAnswered = false;
  const answered = world.put().then(() => isAnswered = true);
  await until(() => world.there.puts.length === 1);
  await pause(30);
  assert.equal(isAnswered, false);
  world.log.seq = 9;
  await answered;
});

Deno.test("ForwardService makes nothing before it has applied what the sender has", async () => {
  await using world = await World.connected();
  world.log.seq = 4;
  const answered = world.put();
  await pause(50);
  assert.equal(world.there.puts.length, 0);
  world.server.log.seq = 4;
  await answered;
  assert.equal(world.there.puts.length, 1);
});

Deno.test("Forwarder fails a write whose answer is lost, and makes it nowhere else", async () => {
  await using world = await World.connected();
  world.there.answer = () => new Promise(() => {});
  const lost = assert.rejects(world.put(), { kind: "timeoutConnectionLost" });
  await until(() => world.there.puts.length === 1);
  await world.server.kill();
  await lost;
  assert.equal(world.there.calls[0]!.isCancelled, true);
  assert.equal(world.here.puts.length, 0);
  await until(() => !world.forwarder.isConnected);
  await world.put();
  assert.equal(world.here.puts.length, 1, "the next one is made here");
});

Deno.test("ForwardService.close() answers what is under way, and refuses the rest", async () => {
  await using world = await World.connected();
  const held = Promise.withResolvers<PutResponse>();
  world.there.answer = () => held.promise;
  const underWay = world.put();
  await until(() => world.there.puts.length === 1);
  const closed = world.server.service.close();
  await world.put();
  assert.equal(world.here.puts.length, 1);
  held.resolve(world.there.putResponse(77));
  await closed;
  const { header } = await underWay;
  assert.equal(decodeResponseHeader(header!).revision, 77);
  assert.equal(world.logger.messages("warn").length, 0);
});

Deno.test("Forwarder.close() waits for the answers that are to come", async () => {
  await using world = await World.connected();
  const held = Promise.withResolvers<PutResponse>();
  world.there.answer = () => held.promise;
  const underWay = world.put();
  await until(() => world.there.puts.length === 1);
  const closed = world.forwarder.close();
  await pause(20);
  held.resolve(world.there.putResponse(78));
  const { header } = await underWay;
  assert.equal(decodeResponseHeader(header!).revision, 78);
  await closed;
  await world.put();
  assert.equal(world.here.puts.length, 1);
});

Deno.test("Forwarder makes a request that is too large for a message itself", async () => {
  await using world = await World.connected();
  const value = new Uint8Array(1 << 20);
  await world.put(newPutRequest({ key: utf8("k"), value }));
  assert.equal(world.here.puts.length, 1);
  const small = newPutRequest({ key: utf8("k"), value: value.subarray(1000) });
  await Promise.all([world.put(small), world.put(small), world.put(small)]);
  assert.equal(world.there.puts.length, 3);
});

Deno.test("Forwarder takes answers of any size", async () => {
  await using world = await World.connected();
  const prevKv = new Uint8Array(20 << 20).fill(5);
  world.there.answer = () => ({ ...world.there.putResponse(5), prevKv });
  const answers = await Promise.all([world.put(), world.put(), world.put()]);
  for (const answer of answers) assert.ok(equalBytes(answer.prevKv!, prevKv));
});

Deno.test("Forwarder asks the sequencer about leases, and waits for there to be one", async () => {
  await using world = await World.start();
  const ttl = world.method(LeaseService.methods.leaseTimeToLive.path);
  const ask = async () => {
    const request = newLeaseTimeToLiveRequest({ ID: 3n });
    return await ttl.handle(request, new FakeCall(), 1) as { TTL: number };
  };
  const asked = ask();
  await pause(60);
  world.replicas.sequencer = world.server.entry();
  assert.equal((await asked).TTL, 2);
  world.replicas.isSequencer = true;
  assert.equal((await ask()).TTL, 1);
});

Deno.test("Forwarder.renewals() renews with the sequencer, which may have to wait for its lessor", async () => {
  await using world = await World.connected();
  const renewals = world.forwarder.renewals({ keepAlive: () => 10 });
  assert.equal(await renewals.keepAlive(1n), 60);
  world.server.ttl = failing("noLeader");
  const waiting = renewals.keepAlive(1n);
  await pause(60);
  world.server.ttl = () => Promise.resolve(61);
  assert.equal(await waiting, 61);
  world.replicas.isSequencer = true;
  assert.equal(renewals.keepAlive(1n), 10);
});

Deno.test("Forwarder.renewals() fails with etcd's error when nobody is the sequencer for three seconds", async () => {
  await using world = await World.start();
  const renewals = world.forwarder.renewals({ keepAlive: () => 10 });
  const beganMs = performance.now();
  await assert.rejects(async () => await renewals.keepAlive(1n), {
    kind: "noLeader",
  });
  assert.ok(performance.now() - beganMs >= 2900);
});

for (
  const [what, secret, id, message] of [
    ["who does not know the secret", SECRET.map((b) => b + 1), 2n, /secret/],
    ["who knows a part of the secret", SECRET.slice(1), 2n, /secret/],
    ["who means another replica", SECRET, 3n, /another replica/],
  ] as const
) {
  Deno.test(`ForwardService lets nobody in ${what}`, async () => {
    await using world = await World.start(secret);
    const { clientUrls } = world.server.entry();
    world.replicas.sequencer = rosterEntry(id, 5n, clientUrls[0]!);
    await until(() => world.logger.entries.length > 0);
    const [entry] = world.logger.entries;
    assert.match(String(entry!.fields.error), message);
    await world.put();
    assert.equal(world.there.puts.length, 0);
    assert.equal(world.here.puts.length, 1);
  });
}

Deno.test("Forwarder makes writes itself when nobody listens at the sequencer's address", async () => {
  await using world = await World.start();
  world.replicas.sequencer = rosterEntry(2n, 5n, "http://127.0.0.1:1");
  await until(() => world.logger.entries.length > 0);
  await world.put();
  assert.equal(world.here.puts.length, 1);
  assert.equal(world.logger.entries.length, 1, "one line, however often");
  world.replicas.sequencer = world.server.entry();
  await until(() => world.forwarder.isConnected);
});

/** Two replicas: what is asked `here`, and the sequencer `there`. */
class World implements AsyncDisposable {
  readonly here = new FakeApi(1n);
  readonly there = new FakeApi(2n);
  readonly server = new SequencerServer(this.there);
  readonly log = new FakeReplicatedLog();
  readonly logger = new CapturingLogger();
  readonly replicas = new FakeSequencer();
  readonly forwarder: Forwarder;
  caller: Access["caller"] = () => undefined;
  readonly #methods: Method[];

  private constructor(transport: PeerTransport) {
    this.forwarder = new Forwarder(
      this.replicas,
      { caller: (call) => this.caller(call) },
      this.log,
      this.here.header,
      transport,
      new SystemClock(),
      this.logger,
      { maxMessageBytes: 1 << 20 },
    );
    this.#methods = this.forwarder.wrap(this.here.methods());
  }

  /** With nobody known to be the sequencer. */
  static async start(secret: Uint8Array = SECRET): Promise<World> {
    const tls = () => assert.fail("no TLS here");
    const world = new World(new SocketPeerTransport({ secret, tls }));
    await world.server.listen();
    world.forwarder.start();
    return world;
  }

  /** With a link to the sequencer. */
  static async connected(): Promise<World> {
    const world = await World.start();
    world.replicas.sequencer = world.server.entry();
    await until(() => world.forwarder.isConnected);
    return world;
  }

  /** As clients see it. */
  method(path: string): UnaryMethod<unknown, unknown> {
    const method = this.#methods.find((method) => method.path === path);
    return method as UnaryMethod<unknown, unknown>;
  }

  async put(request: PutRequest = PUT): Promise<PutResponse> {
    const put = this.method(KVService.methods.put.path);
    return await put.handle(request, new FakeCall(), 1) as PutResponse;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
    await this.forwarder.close();
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, "it does not come");
    await pause(5);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
