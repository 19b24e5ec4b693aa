import assert from "node:assert/strict";
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

/** A sink whose commits finish when the test says so. */
class FakeSink implements BatchSink {
  readonly batches: FakeBatch[] = [];
  readonly commits: { finish: () => void; fail: (error: Error) => void }[] = [];
  newBatch(): WriteBatch {
    const batch = new FakeBatch(this.batches.reduce((n, b) => n + b.ended, 1));
    this.batches.push(batch);
    return batch as unknown as WriteBatch;
  }
  commit(): Promise<void> {
    return new Promise((finish, fail) => this.commits.push({ finish, fail }));
  }
  fetch(missing: MissingRecords, batch: WriteBatch): Promise<void> {
    (batch as unknown as FakeBatch).fetched = missing.rows;
    return Promise.resolve();
  }
}

/** Lets everything that is ready run. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("WriteQueue gathers what comes while a batch is under way", async () => {
  const sink = new FakeSink();
  const queue = new WriteQueue(sink, DEFAULT_WRITE_QUEUE_LIMITS);
  const first = queue.write(() => "first");
  await turn();
  const later = [queue.write(() => "second"), queue.write(() => "third")];
  await turn();
  assert.equal(sink.batches.length, 1);
  sink.commits[0]!.finish();
  assert.deepEqual(await first, { result: "first", revision: 2 });
  await turn();
  assert.deepEqual(sink.batches.map((b) => b.ended), [1, 2]);
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
