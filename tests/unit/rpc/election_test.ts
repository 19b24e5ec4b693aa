import assert from "node:assert/strict";
import { text, utf8 } from "../../../src/base/bytes.ts";
import { DomainError } from "../../../src/base/errors.ts";
import { decodeResponseHeader } from "../../../src/pb/etcdserverpb.ts";
import { decodeKeyValue } from "../../../src/pb/mvccpb.ts";
import {
  type LeaderResponse,
  newCampaignRequest,
  newLeaderKey,
  newLeaderRequest,
  newProclaimRequest,
  newResignRequest,
} from "../../../src/pb/v3electionpb.ts";
import { ElectionHandlers } from "../../../src/rpc/election.ts";
import type { MessageWriter } from "../../../src/transport/grpc/service.ts";
import { FakeCall, RecipeFixture, settled } from "../../support/recipes.ts";

/** What an observer was sent; it reads only when it is told to. */
class Observed implements MessageWriter<LeaderResponse> {
  readonly values: string[] = [];
  readonly isEnded = false;
  readonly bufferedBytes = 0;
  onDrain: (() => void) | undefined = undefined;
  #stalled: PromiseWithResolvers<void> | undefined = undefined;

  send({ header, kv }: LeaderResponse): void {
    const { value, modRevision } = decodeKeyValue(kv!);
    const { revision } = decodeResponseHeader(header!);
    assert.ok(revision >= modRevision);
    this.values.push(text(value));
  }

  sendEncoded(): void {
    assert.fail("messages are sent as objects");
  }

  end(): void {
    assert.fail("the handler's promise ends the call");
  }

  drained(): Promise<void> {
    return this.#stalled?.promise ?? Promise.resolve();
  }

  stall(): void {
    this.#stalled = Promise.withResolvers();
  }

  read(): void {
    this.#stalled?.resolve();
    this.#stalled = undefined;
  }
}

async function newElection() {
  const fixture = await RecipeFixture.open();
  const { recipes, header } = fixture;
  const handlers = new ElectionHandlers(recipes, header);
  const name = utf8("e");
  return {
    fixture,
    handlers,
    campaign(lease: bigint, value: string, call = new FakeCall()) {
      fixture.lease(lease);
      const request = newCampaignRequest({ name, lease, value: utf8(value) });
      return handlers.campaign(request, call);
    },
    proclaim: (lease: bigint, rev: number, value: string) => {
      const key = utf8(`e/${lease.toString(16)}`);
      const leader = newLeaderKey({ name, key, rev, lease });
      const request = newProclaimRequest({ leader, value: utf8(value) });
      return handlers.proclaim(request, new FakeCall());
    },
    resign: (lease: bigint, rev: number) => {
      const key = utf8(`e/${lease.toString(16)}`);
      const leader = newLeaderKey({ name, key, rev, lease });
      return handlers.resign(newResignRequest({ leader }), new FakeCall());
    },
    observe(out: Observed, call = new FakeCall()) {
      return handlers.observe(newLeaderRequest({ name }), call, out);
    },
  };
}

const kind = (expected: string) => (error: unknown) =>
  error instanceof DomainError && error.kind === expected;

Deno.test("ElectionHandlers.campaign() waits for those who came before", async () => {
  const { campaign, resign } = await newElection();
  const { leader } = await campaign(1n, "one");
  assert.equal(leader!.rev, 2);
  const second = campaign(2n, "two");
  await settled();
  await resign(1n, 2);
  assert.deepEqual(
    [text((await second).leader!.key), (await second).leader!.rev],
    ["e/2", 3],
  );
});

Deno.test("ElectionHandlers.campaign() resigns for a call that is given up", async () => {
  const { fixture, campaign } = await newElection();
  await campaign(1n, "one");
  const call = new FakeCall();
  const second = campaign(2n, "two", call);
  await settled();
  assert.equal(fixture.leases.keysOf(2n).length, 1);
  call.giveUp();
  await assert.rejects(second, kind("canceled"));
  assert.deepEqual(fixture.leases.keysOf(2n), []);
  assert.equal(fixture.leases.keysOf(1n).length, 1);
});

Deno.test("ElectionHandlers.proclaim() is for the leadership that was won, not for a later one of the same lease", async () => {
  const { campaign, proclaim, resign } = await newElection();
  await campaign(1n, "one");
  await proclaim(1n, 2, "more");
  await resign(1n, 2);
  const { leader } = await campaign(1n, "again");
  assert.equal(leader!.rev, 5);
  await assert.rejects(proclaim(1n, 2, "late"), kind("notElectionLeader"));
  const { header } = await resign(1n, 2);
  assert.equal(decodeResponseHeader(header!).revision, 5, "nothing happened");
});

Deno.test("ElectionHandlers.leader() is the one that came first, whatever the order of keys", async () => {
  const { handlers, campaign } = await newElection();
  const leader = () =>
    handlers.leader(newLeaderRequest({ name: utf8("e") }), new FakeCall());
  await assert.rejects(leader(), kind("noElectionLeader"));
  await campaign(9n, "nine");
  void campaign(1n, "one");
  await settled();
  const { kv } = await leader();
  assert.equal(text(decodeKeyValue(kv!).value), "nine");
});

Deno.test("ElectionHandlers.observe() tells each value once, of each leader in turn", async () => {
  const { fixture, campaign, proclaim, resign, observe } = await newElection();
  const out = new Observed();
  const call = new FakeCall();
  const observing = observe(out, call);
  await settled();
  await campaign(1n, "one");
  await settled();
  await Promise.all([
    proclaim(1n, 2, "a"),
    proclaim(1n, 2, "b"),
    proclaim(1n, 2, "c"),
  ]);
  const second = campaign(2n, "two");
  await settled();
  assert.deepEqual(out.values, ["one", "a", "b", "c"]);
  await resign(1n, 2);
  await second;
  await fixture.delete(utf8("e/2"));
  await settled();
  await campaign(3n, "three");
  await settled();
  assert.deepEqual(out.values, ["one", "a", "b", "c", "two", "three"]);
  call.giveUp();
  await assert.rejects(observing, kind("canceled"));
});

Deno.test("ElectionHandlers.observe() misses nothing that happens while it looks for the leader", async () => {
  const { fixture, campaign, proclaim, observe } = await newElection();
  await campaign(1n, "one");
  const out = new Observed();
  const call = new FakeCall();
  let looks = 0;
  fixture.kv.beforeRange = () => {
    if (++looks <= 2) void proclaim(1n, 2, `look ${looks}`);
  };
  const observing = observe(out, call);
  await settled();
  assert.equal(out.values.at(-1), "look 2");
  assert.equal(new Set(out.values).size, out.values.length, "nothing twice");
  call.giveUp();
  await assert.rejects(observing, kind("canceled"));
});

Deno.test("ElectionHandlers.observe() goes on with the newest value for one who reads too slowly", async () => {
  const { fixture, campaign, proclaim, observe } = await newElection();
  await campaign(1n, "first");
  const out = new Observed();
  const call = new FakeCall();
  out.stall();
  const observing = observe(out, call);
  await settled();
  const big = "x".repeat(300 << 10);
  for (let i = 0; i < 5; i++) await proclaim(1n, 2, big);
  await proclaim(1n, 2, "last");
  out.read();
  await settled();
  assert.deepEqual(out.values, ["first", "last"]);
  await proclaim(1n, 2, "and on");
  await settled();
  assert.deepEqual(out.values, ["first", "last", "and on"]);
  assert.ok(fixture.kv.ranges >= 4, "it looked again");
  call.giveUp();
  await assert.rejects(observing, kind("canceled"));
});

Deno.test("ElectionHandlers.observe() ends without an error when it may not read, and with one when the client or the server goes", async () => {
  const e = await newElection();
  e.fixture.kv.beforeRange = () => {
    throw new DomainError("permissionDenied");
  };
  await e.observe(new Observed());
  e.fixture.kv.beforeRange = undefined;
  const call = new FakeCall();
  const observing = e.observe(new Observed(), call);
  await settled();
  call.giveUp();
  await assert.rejects(observing, kind("canceled"));
  const stopped = e.observe(new Observed());
  await settled();
  e.fixture.changes.close();
  await assert.rejects(stopped, kind("stopped"));
});
