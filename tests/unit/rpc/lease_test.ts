import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { DomainError, type ErrorKind } from "../../../src/base/errors.ts";
import { NO_LOG } from "../../../src/base/log.ts";
import {
  decodeResponseHeader,
  type LeaseKeepAliveResponse,
  newLeaseGrantRequest,
  newLeaseKeepAliveRequest,
  newLeaseLeasesRequest,
  newLeaseRevokeRequest,
  newLeaseTimeToLiveRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { errorMapper } from "../../../src/rpc/errors.ts";
import { HeaderSource } from "../../../src/rpc/header.ts";
import { LeaseHandlers } from "../../../src/rpc/lease.ts";
import type { MessageWriter } from "../../../src/transport/grpc/service.ts";
import { Code, type Status } from "../../../src/transport/grpc/status.ts";
import { newAccess } from "../../support/access.ts";
import { callOf } from "../../support/call.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { Disk, LeaseProcess, turn } from "../lease/lease_process.ts";

const CALL = callOf("/etcdserverpb.Lease/LeaseKeepAlive");

/** Keeps what is sent; buffers grow only if a test says so. */
class Sent implements MessageWriter<LeaseKeepAliveResponse> {
  readonly messages: LeaseKeepAliveResponse[] = [];
  status: Status | undefined = undefined;
  isEnded = false;
  bufferedBytes = 0;
  onDrain: (() => void) | undefined = undefined;

  send(message: LeaseKeepAliveResponse): void {
    this.messages.push(message);
  }

  sendEncoded(): void {
    assert.fail("messages are sent as objects");
  }

  end(status?: Status): void {
    assert.equal(this.isEnded, false, "ended once");
    this.isEnded = true;
    this.status = status;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  get ttls(): [bigint, number][] {
    return this.messages.map(({ ID, TTL }) => [ID, TTL]);
  }
}

/** The service on a lessor of its own, with a quota that can refuse. */
async function newService() {
  const clock = new FakeClock();
  const process = await LeaseProcess.started(new Disk(), clock);
  const quota = {
    refusal: undefined as ErrorKind | undefined,
    charged: 0,
    admit(bytes: number) {
      quota.charged += bytes;
      if (quota.refusal !== undefined) throw new DomainError(quota.refusal);
    },
    admitAny() {
      if (quota.refusal === "corrupt") throw new DomainError("corrupt");
    },
  };
  const header = new HeaderSource(1n, 2n, 3);
  const service = new LeaseHandlers(
    process.lessor,
    newAccess(),
    process,
    quota,
    header,
    errorMapper(NO_LOG),
  );
  const grant = (id: bigint, ttl: number) =>
    service.grant(newLeaseGrantRequest({ ID: id, TTL: ttl }), CALL);
  const open = () => {
    const out = new Sent();
    const stream = service.keepAlive(CALL, out);
    const ask = (id: bigint) =>
      stream.onMessage(newLeaseKeepAliveRequest({ ID: id }));
    return { out, stream, ask };
  };
  return { clock, process, quota, service, grant, open };
}

function revisionOf(header: Uint8Array | undefined): number {
  return decodeResponseHeader(header!).revision;
}

Deno.test("LeaseHandlers.methods() has all five of etcd's", async () => {
  const { service } = await newService();
  assert.deepEqual(
    service.methods().map(({ path, kind }) => [path, kind]),
    [
      ["/etcdserverpb.Lease/LeaseGrant", "unary"],
      ["/etcdserverpb.Lease/LeaseRevoke", "unary"],
      ["/etcdserverpb.Lease/LeaseKeepAlive", "duplex"],
      ["/etcdserverpb.Lease/LeaseTimeToLive", "unary"],
      ["/etcdserverpb.Lease/LeaseLeases", "unary"],
    ],
  );
});

Deno.test("LeaseHandlers.grant() answers the TTL granted, at the current revision", async () => {
  const { process, service, quota } = await newService();
  process.disk.revision = 7;
  const answer = await service.grant(
    newLeaseGrantRequest({ ID: 5n, TTL: 1 }),
    CALL,
  );
  assert.equal(answer.ID, 5n);
  assert.equal(answer.TTL, 2);
  assert.equal(revisionOf(answer.header), 7);
  assert.equal(quota.charged, 64);
});

Deno.test("LeaseHandlers.grant() and revoke() obey the alarms as etcd does", async () => {
  const { quota, service, grant } = await newService();
  await grant(1n, 5);
  quota.refusal = "noSpace";
  await assert.rejects(grant(2n, 5), { kind: "noSpace" });
  quota.refusal = "corrupt";
  await assert.rejects(grant(2n, 5), { kind: "corrupt" });
  await assert.rejects(
    service.revoke(newLeaseRevokeRequest({ ID: 1n }), CALL),
    {
      kind: "corrupt",
    },
  );
  quota.refusal = "noSpace";
  await service.revoke(newLeaseRevokeRequest({ ID: 1n }), CALL);
});

Deno.test("LeaseHandlers.revoke() answers the revision at which the keys are gone", async () => {
  const { process, service, grant } = await newService();
  await grant(1n, 5);
  process.put("a", 1n);
  const answer = await service.revoke(newLeaseRevokeRequest({ ID: 1n }), CALL);
  assert.equal(revisionOf(answer.header), 3);
});

Deno.test("LeaseHandlers.timeToLive() of an unknown lease is -1, with keys only on demand", async () => {
  const { clock, process, service, grant } = await newService();
  const unknown = service.timeToLive(
    newLeaseTimeToLiveRequest({ ID: 9n, keys: true }),
    CALL,
  );
  assert.equal(unknown.ID, 9n);
  assert.equal(unknown.TTL, -1);
  assert.equal(unknown.grantedTTL, 0);
  assert.equal(revisionOf(unknown.header), 1);
  await grant(1n, 10);
  process.put("b", 1n);
  process.put("a", 1n);
  clock.advance(2500);
  const bare = service.timeToLive(newLeaseTimeToLiveRequest({ ID: 1n }), CALL);
  assert.deepEqual([bare.TTL, bare.grantedTTL, bare.keys], [7, 10, []]);
  const full = service.timeToLive(
    newLeaseTimeToLiveRequest({ ID: 1n, keys: true }),
    CALL,
  );
  assert.deepEqual(full.keys, [utf8("a"), utf8("b")]);
});

Deno.test("LeaseHandlers.leases() gives the soonest to end first", async () => {
  const { service, grant } = await newService();
  await grant(1n, 20);
  await grant(-2n, 10);
  const { leases } = service.leases(newLeaseLeasesRequest(), CALL);
  assert.deepEqual(leases.map(({ ID }) => ID), [-2n, 1n]);
});

Deno.test("LeaseKeepAliveStream answers in the order of requests", async () => {
  const { grant, open } = await newService();
  await grant(1n, 10);
  await grant(2n, 20);
  const { out, ask } = open();
  ask(9n);
  ask(1n); // waits for its mark
  ask(9n);
  ask(2n);
  assert.deepEqual(out.ttls, [[9n, 0]]);
  await turn();
  assert.deepEqual(out.ttls, [[9n, 0], [1n, 10], [9n, 0], [2n, 20]]);
  ask(1n);
  assert.deepEqual(out.ttls.slice(4), [[1n, 10]], "in memory: at once");
});

Deno.test("LeaseKeepAliveStream takes the header before the renewal", async () => {
  const { process, grant, open } = await newService();
  await grant(1n, 10);
  const { out, ask } = open();
  ask(1n);
  process.disk.revision = 50;
  await turn();
  assert.equal(revisionOf(out.messages[0]!.header), 1);
});

Deno.test("LeaseKeepAliveStream answers 0 for an expired lease once it is gone", async () => {
  const { clock, process, grant, open } = await newService();
  await grant(1n, 2);
  const { out, ask } = open();
  process.isHeld = true;
  clock.advance(2000);
  ask(1n);
  await turn();
  assert.deepEqual(out.ttls, []);
  process.release();
  await turn();
  assert.deepEqual(out.ttls, [[1n, 0]]);
});

Deno.test("LeaseKeepAliveStream.onHalfClose() ends the call with OK when all is answered", async () => {
  const { grant, open } = await newService();
  await grant(1n, 10);
  const { out, stream, ask } = open();
  ask(1n);
  stream.onHalfClose();
  assert.equal(out.isEnded, false);
  await turn();
  assert.deepEqual(out.ttls, [[1n, 10]]);
  assert.equal(out.isEnded, true);
  assert.equal(out.status, undefined);

  const idle = open();
  idle.stream.onHalfClose();
  assert.equal(idle.out.isEnded, true);
});

Deno.test("LeaseKeepAliveStream ends with etcd's status if a renewal fails", async () => {
  const { process, grant, open } = await newService();
  await grant(1n, 10);
  const { out, ask } = open();
  process.failure = new DomainError("unhealthy");
  ask(1n);
  ask(9n);
  await turn();
  assert.deepEqual(out.ttls, []);
  assert.deepEqual(out.status, {
    code: Code.Unavailable,
    message: "etcdserver: unhealthy cluster",
  });
  ask(9n);
  assert.deepEqual(out.ttls, [], "nothing after the end");
});

Deno.test("LeaseKeepAliveStream ends with a status if the lessor has stopped", async () => {
  const { process, open } = await newService();
  await process.lessor.stop();
  const { out, ask } = open();
  ask(1n);
  assert.equal(out.status?.message, "etcdserver: server stopped");
});

Deno.test("LeaseKeepAliveStream.onCancel() forgets what it owes", async () => {
  const { grant, open } = await newService();
  await grant(1n, 10);
  const { out, stream, ask } = open();
  ask(1n);
  stream.onCancel();
  await turn();
  assert.deepEqual(out.ttls, []);
  assert.equal(out.isEnded, false);
});

Deno.test("LeaseKeepAliveStream waits for a client that does not read", async () => {
  const { open } = await newService();
  const { out, ask } = open();
  out.bufferedBytes = 1 << 20;
  ask(7n);
  ask(8n);
  assert.deepEqual(out.ttls, []);
  out.bufferedBytes = 0;
  out.onDrain?.();
  assert.deepEqual(out.ttls, [[7n, 0], [8n, 0]]);
});

Deno.test("LeaseKeepAliveStream does not queue a lease again while it owes many answers", async () => {
  const { process, grant, open } = await newService();
  await grant(1n, 10);
  await grant(2n, 10);
  process.isHeld = true;
  const { out, ask } = open();
  for (let i = 0; i < 4096; i++) ask(1n);
  for (let i = 0; i < 10_000; i++) ask(1n);
  ask(2n);
  process.release();
  await turn();
  assert.equal(out.messages.length, 4097);
  assert.deepEqual(out.ttls.at(-1), [2n, 10]);
  ask(1n);
  assert.equal(out.messages.length, 4098);
});

Deno.test("LeaseKeepAliveStream ends, for the client to come back, when it owes too many answers", async () => {
  const { open } = await newService();
  const { out, ask } = open();
  out.bufferedBytes = 1 << 20;
  const most = 1 << 17;
  for (let i = 1; i <= most; i++) ask(BigInt(i));
  assert.equal(out.isEnded, false);
  ask(BigInt(most + 1));
  assert.equal(out.status?.code, Code.Unavailable);
});
