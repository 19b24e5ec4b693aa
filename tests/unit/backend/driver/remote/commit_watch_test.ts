import assert from "node:assert/strict";
import {
  CommitWatch,
  type WatchedLog,
} from "../../../../../src/backend/driver/remote/commit_watch.ts";
import { FakeClock } from "../../../../support/fake_clock.ts";

/** A log that others append to, with notifications or without. */
class FakeLog implements WatchedLog {
  seq = 0;
  statements = 0;
  listens = 0;
  isAway = false;
  hear: ((seq: number) => void) | undefined;
  deafen: (() => void) | undefined;

  constructor(readonly canListen: boolean) {}

  head(): Promise<{ seq: number; revision: number }> {
    this.statements++;
    if (this.isAway) return Promise.reject(new Error("away"));
    return Promise.resolve({ seq: this.seq, revision: this.seq + 1 });
  }

  listen(heard: (seq: number) => void, lost: () => void): Promise<boolean> {
    this.listens++;
    if (this.isAway) return Promise.reject(new Error("away"));
    if (!this.canListen) return Promise.resolve(false);
    this.hear = heard;
    this.deafen = lost;
    return Promise.resolve(true);
  }
}

class Fixture {
  readonly clock = new FakeClock();
  readonly told: number[] = [];
  readonly log: FakeLog;
  readonly watch: CommitWatch;

  constructor(options: { canListen: boolean }) {
    this.log = new FakeLog(options.canListen);
    this.watch = new CommitWatch(
      this.log,
      this.clock,
      (seq) => this.told.push(seq),
    );
  }

  /** Lets time pass in small steps, with what is waiting for it. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      this.clock.advance(10);
      await settled();
    }
  }

  async statementsDuring(ms: number): Promise<number> {
    const before = this.log.statements;
    await this.pass(ms);
    return this.log.statements - before;
  }
}

Deno.test("CommitWatch without notifications hardly asks while nothing happens", async () => {
  const f = new Fixture({ canListen: false });
  f.watch.start();
  await f.pass(1000);
  assert.ok(await f.statementsDuring(10_000) <= 6);
});

Deno.test("CommitWatch without notifications sees a commit within 60 ms while there are some", async () => {
  const f = new Fixture({ canListen: false });
  f.watch.start();
  await f.pass(100);
  f.log.seq = 1;
  await f.pass(1900);
  for (let seq = 2; seq < 30; seq++) {
    f.log.seq = seq;
    await f.pass(60);
    assert.equal(f.told.at(-1), seq);
  }
  await f.pass(5000);
  assert.ok(await f.statementsDuring(10_000) <= 6);
});

Deno.test("CommitWatch asks quickly while this process writes itself", async () => {
  const f = new Fixture({ canListen: false });
  f.watch.start();
  await f.pass(1000);
  f.log.seq = 1;
  f.watch.writing(1);
  f.log.seq = 2;
  await f.pass(60);
  assert.deepEqual(f.told, [2]);
});

Deno.test("CommitWatch with notifications tells at once, and asks every other second", async () => {
  const f = new Fixture({ canListen: true });
  f.watch.start();
  await f.pass(100);
  f.log.hear!(1);
  assert.deepEqual(f.told, [1]);
  f.log.seq = 1;
  assert.ok(await f.statementsDuring(10_000) <= 6);
  assert.deepEqual(f.told, [1]);
});

Deno.test("CommitWatch tells nothing twice, and nothing that this process wrote", async () => {
  const f = new Fixture({ canListen: true });
  f.watch.start();
  await f.pass(20);
  f.watch.writing(1);
  f.log.hear!(1);
  f.log.seq = 1;
  await f.pass(4000);
  f.log.hear!(2);
  f.log.hear!(2);
  assert.deepEqual(f.told, [2]);
});

Deno.test("CommitWatch tells of somebody else's batch where ours was to be", async () => {
  const f = new Fixture({ canListen: true });
  f.watch.start();
  await f.pass(20);
  f.watch.writing(1);
  f.watch.gaveUp(1);
  f.log.hear!(1);
  assert.deepEqual(f.told, [1]);
});

Deno.test("CommitWatch asks quickly again when notifications do not come any more", async () => {
  const f = new Fixture({ canListen: true });
  f.watch.start();
  await f.pass(20);
  f.log.hear!(1);
  f.log.seq = 2; // and nobody tells
  await f.pass(2100);
  assert.deepEqual(f.told, [1, 2]);
  f.log.seq = 3;
  await f.pass(60);
  assert.deepEqual(f.told, [1, 2, 3]);
});

Deno.test("CommitWatch listens again after its session is lost, and looks what it missed", async () => {
  const f = new Fixture({ canListen: true });
  f.watch.start();
  await f.pass(20);
  f.log.isAway = true;
  f.log.deafen!();
  await f.pass(5000);
  assert.ok(f.log.listens >= 4 && f.log.listens <= 7, String(f.log.listens));
  f.log.isAway = false;
  f.log.seq = 7;
  await f.pass(1100);
  assert.deepEqual(f.told, [7]);
  f.log.hear!(8);
  assert.deepEqual(f.told, [7, 8]);
});

Deno.test("CommitWatch.stop() ends everything", async () => {
  const f = new Fixture({ canListen: true });
  f.watch.start();
  await f.pass(20);
  f.watch.stop();
  f.log.hear!(1);
  f.log.deafen!();
  assert.equal(await f.statementsDuring(5000), 0);
  assert.deepEqual(f.told, []);
  assert.equal(f.log.listens, 1);
});

/** What promises that are settled already wake. */
function settled(): Promise<void> {
  return new Promise((resolve) =>
    queueMicrotask(() =>
      queueMicrotask(() => queueMicrotask(() => queueMicrotask(resolve)))
    )
  );
}
