import assert from "node:assert/strict";
import type { AppendOutcome } from "../../../src/backend/backend.ts";
import { DomainError } from "../../../src/base/errors.ts";
import { MissingRecords } from "../../../src/mvcc/records.ts";
import type { WriteBatch } from "../../../src/mvcc/write_batch.ts";
import {
  type BatchSink,
  DEFAULT_WRITE_QUEUE_LIMITS,
  WriteQueue,
} from "../../../src/mvcc/write_queue.ts";

/** A batch that only counts. */
class FakeBatch {
  ended = 0;
  rolledBack = 0;
  fetched: readonly unknown[] = [];
  below: FakeBatch | undefined = undefined;
  constructor(readonly base: number) {}
  get revision() {
    return this.base + this.ended;
  }
  begin() {}
  end() {
    this.ended++;
  }
  rollback() {
    this.rolledBack++;
  }
}

/** A sink whose appends finish when the test says so. */
class FakeSink implements BatchSink {
  readonly batches: FakeBatch[] = [];
  readonly commits: {
    finish: () => void;
    lose: () => void;
    fail: (error: Error) => void;
  }[] = [];
  isBehind = false;
  gap: (() => Promise<void> | undefined) | undefined = undefined;
  catchUps = 0;
  catchUpError: Error | undefined = undefined;
  readonly applied: FakeBatch[] = [];
  readonly aborted: FakeBatch[] = [];
  /** What `apply` throws. */
  applyError: Error | undefined = undefined;

  newBatch(below: WriteBatch | undefined): WriteBatch {
    const standing = this.batches.filter((b) => !this.aborted.includes(b));
    const batch = new FakeBatch(standing.reduce((n, b) => n + b.ended, 1));
    batch.below = below as unknown as FakeBatch | undefined;
    this.batches.push(batch);
    return batch as unknown as WriteBatch;
  }

  append(): Promise<AppendOutcome> {
    return new Promise((settle, fail) =>
      this.commits.push({
        finish: () => settle("committed"),
        lose: () => {
          this.isBehind = true;
          settle("conflict");
        },
        fail,
      })
    );
  }

  catchUp(): Promise<void> {
    this.catchUps++;
    if (this.catchUpError !== undefined) {
      return Promise.reject(this.catchUpError);
    }
    this.isBehind = false;
    return Promise.resolve();
  }

  apply(batch: WriteBatch): void {
    if (this.applyError !== undefined) throw this.applyError;
    this.applied.push(batch as unknown as FakeBatch);
  }

  abort(batch: WriteBatch): void {
    this.aborted.push(batch as unknown as FakeBatch);
  }

  fetch(missing: MissingRecords, batch: WriteBatch): Promise<void> {
    (batch as unknown as FakeBatch).fetched = missing.rows;
    return Promise.resolve();
  }
}

/** Lets everything that is ready run. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("WriteQueue evaluates what comes while a batch is under way, and sends it once that is durable", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const first = queue.write(() => "first");
  await turn();
  const later = [queue.write(() => "second"), queue.write(() => "third")];
  await turn();
  assert.deepEqual(sink.batches.map((b) => b.ended), [1, 2]);
  const [below, above] = sink.batches;
  assert.equal(above!.below, below);
  assert.equal(sink.commits.length, 1, "one batch is under way");
  sink.commits[0]!.finish();
  assert.deepEqual(await first, { result: "first", revision: 2 });
  assert.deepEqual(sink.applied, [below]);
  assert.equal(above!.below, undefined, "what is applied is below nobody");
  assert.equal(sink.commits.length, 2);
  sink.commits[1]!.finish();
  assert.deepEqual((await Promise.all(later)).map((w) => w.revision), [3, 4]);
});

Deno.test("WriteQueue lets a write that throws fail alone, and after its batch is durable", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  let failed = false;
  const results = [
    queue.write(() => 1),
    queue.write(() => {
      throw new DomainError("leaseNotFound");
    }).catch((error) => {
      failed = true;
      return error.kind;
    }),
    queue.write(() => 3),
  ];
  await turn();
  assert.equal(failed, false, "it may have seen what is not durable yet");
  assert.equal(sink.batches[0]!.rolledBack, 1);
  sink.commits[0]!.finish();
  const [one, two, three] = await Promise.all(results);
  assert.deepEqual([one.revision, two, three.revision], [
    2,
    "leaseNotFound",
    3,
  ]);
});

Deno.test("WriteQueue rejects a batch's writes when it is not durable, and goes on", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const lost = queue.write(() => 1);
  await turn();
  sink.commits[0]!.fail(new DomainError("unhealthy"));
  await assert.rejects(lost, { kind: "unhealthy" });
  const next = queue.write(() => 2);
  await turn();
  sink.commits[1]!.finish();
  assert.equal((await next).result, 2);
});

Deno.test("WriteQueue evaluates an open batch again when the one below it fails", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const lost = queue.write(() => 1);
  await turn();
  let evaluations = 0;
  const kept = queue.write(() => ++evaluations);
  const refused = queue.write(() => {
    evaluations++;
    throw new DomainError("leaseNotFound");
  });
  refused.catch(() => {});
  await turn();
  assert.equal(evaluations, 2);
  sink.commits[0]!.fail(new DomainError("unhealthy"));
  await assert.rejects(lost, { kind: "unhealthy" });
  await turn();
  assert.deepEqual(
    sink.aborted,
    [sink.batches[1], sink.batches[0]],
    "the upper one first",
  );
  assert.equal(evaluations, 4);
  assert.equal(sink.batches[2]!.below, undefined);
  sink.commits[1]!.finish();
  assert.deepEqual(await kept, { result: 3, revision: 2 });
  await assert.rejects(refused, { kind: "leaseNotFound" });
  await queue.drained();
});

Deno.test("WriteQueue stops for good when a durable batch cannot be applied", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const first = queue.write(() => 1);
  await turn();
  const second = queue.write(() => 2);
  await turn();
  sink.applyError = new Error("broken");
  sink.commits[0]!.finish();
  await assert.rejects(first, { kind: "stopped" });
  await assert.rejects(second, { kind: "stopped" });
  await assert.rejects(queue.write(() => 3), { kind: "stopped" });
  await queue.drained();
});

Deno.test("WriteQueue fetches missing records, after what is before them, and evaluates again", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const order: string[] = [];
  const first = queue.write(() => void order.push("first"));
  const second = queue.write((tx) => {
    if ((tx as unknown as FakeBatch).fetched.length === 0) {
      throw new MissingRecords([{ rev: 2, sub: 0 }]);
    }
    order.push("second");
  });
  const third = queue.write(() => void order.push("third"));
  await turn();
  sink.commits[0]!.finish();
  await first;
  await turn();
  sink.commits[1]!.finish();
  await Promise.all([second, third]);
  assert.deepEqual(order, ["first", "second", "third"]);
  assert.equal(sink.batches.length, 2);
});

Deno.test("WriteQueue refuses more than its bounds, in number and in bytes", async () => {
  const sink = new FakeSink();
  const limits = {
    ...DEFAULT_WRITE_QUEUE_LIMITS,
    maxQueued: 2,
    maxQueuedBytes: 100,
  };
  const queue = new WriteQueue(sink, limits);
  const started = queue.write(() => 0);
  await turn();
  const waiting = [queue.write(() => 1), queue.write(() => 2)];
  await assert.rejects(queue.write(() => 3), { kind: "tooManyRequests" });
  sink.commits[0]!.finish();
  await started;
  await turn();
  const large = queue.write(() => 4, 101);
  await assert.rejects(queue.write(() => 5), { kind: "tooManyRequests" });
  sink.commits[1]!.finish();
  await Promise.all(waiting);
  await turn();
  sink.commits[2]!.finish();
  await large;
});

Deno.test("WriteQueue never refuses the server's own writes for being full", async () => {
  const sink = new FakeSink();
  const limits = { ...DEFAULT_WRITE_QUEUE_LIMITS, maxQueued: 1 };
  const queue = new WriteQueue(sink, limits);
  const started = queue.write(() => 0);
  await turn();
  const waiting = queue.write(() => 1);
  const own = Promise.withResolvers<unknown>();
  queue.submit({
    evaluate: () => 2,
    bytes: 0,
    isOwn: true,
    resolve: ({ result }) => own.resolve(result),
    reject: own.reject,
  });
  await assert.rejects(queue.write(() => 3), { kind: "tooManyRequests" });
  sink.commits[0]!.finish();
  await started;
  await turn();
  sink.commits[1]!.finish();
  await waiting;
  assert.equal(await own.promise, 2);
});

Deno.test("WriteQueue takes at most so many writes and bytes into one batch", async () => {
  const sink = new FakeSink();
  const limits = {
    ...DEFAULT_WRITE_QUEUE_LIMITS,
    maxBatchWrites: 3,
    maxBatchBytes: 10,
  };
  const queue = new WriteQueue(sink, limits);
  const writes = [0, 0, 0, 0, 9, 9, 9].map((bytes) =>
    queue.write(() => bytes, bytes)
  );
  const sizes = [];
  for (let i = 0; i < 3; i++) {
    await turn();
    sizes.push(sink.batches[i]!.ended);
    sink.commits[i]!.finish();
  }
  await Promise.all(writes);
  assert.deepEqual(sizes, [3, 3, 1]);
});

Deno.test("WriteQueue.close() refuses what waits and what comes", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const started = queue.write(() => 0);
  await turn();
  const waiting = queue.write(() => 1);
  queue.close(new DomainError("stopped"));
  await assert.rejects(waiting, { kind: "stopped" });
  await assert.rejects(queue.write(() => 2), { kind: "stopped" });
  sink.commits[0]!.finish();
  await started;
  await queue.drained();
});

Deno.test("WriteQueue evaluates a batch that came too late again, in order, behind what came first", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const order: string[] = [];
  const write = (name: string) => queue.write(() => order.push(name));
  const late = write("a");
  await turn();
  const above = write("b");
  await turn();
  assert.deepEqual(order, ["a", "b"]);
  sink.commits[0]!.lose();
  const newest = write("c");
  await turn();
  assert.equal(sink.catchUps, 1);
  assert.equal(queue.lostInARow, 1);
  assert.deepEqual(sink.aborted, [sink.batches[1], sink.batches[0]]);
  assert.deepEqual(order, ["a", "b", "a", "b", "c"]);
  sink.commits[1]!.finish();
  await Promise.all([late, above, newest]);
  assert.equal(queue.lostInARow, 0);
  assert.equal(queue.bytes, 0);
});

Deno.test("WriteQueue rejects what waits when it cannot be known what came first", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const late = queue.write(() => 1);
  await turn();
  sink.catchUpError = new DomainError("unhealthy");
  sink.commits[0]!.lose();
  await assert.rejects(late, { kind: "unhealthy" });
  sink.catchUpError = undefined;
  const next = queue.write(() => 2);
  await turn();
  sink.commits[1]!.finish();
  assert.equal((await next).result, 2);
});

Deno.test("WriteQueue leaves others a gap before each batch, for as long as it is to", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const gap = Promise.withResolvers<void>();
  sink.gap = () => gap.promise;
  const written = queue.write(() => 1);
  await turn();
  assert.equal(sink.commits.length, 0);
  sink.gap = undefined;
  gap.resolve();
  await turn();
  sink.commits[0]!.finish();
  assert.equal((await written).result, 1);
});
