import assert from "node:assert/strict";
import {
  type ForwardAnswers,
  type ForwardedAnswer,
  type ForwardedCall,
  newForwardedAnswer,
  newForwardedCall,
  newForwardRequests,
} from "../../../src/pb/stelepb.ts";
import {
  ForwardedStream,
  type ForwardHost,
} from "../../../src/replica/forwarded_stream.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { FakeReplicatedLog } from "../../support/forwarding.ts";
import { FakeWriter } from "../transport/grpc/call_doubles.ts";

Deno.test("ForwardedStream speaks first", () => {
  const f = new Fixture();
  assert.deepEqual(f.ids(), [[]]);
});

Deno.test("ForwardedStream answers those of one turn in one message, with where its log is", async () => {
  const f = new Fixture();
  f.host.log.seq = 8;
  f.ask(1, 2, 3);
  f.answer(3);
  f.answer(1);
  await turn();
  assert.deepEqual(f.ids(), [[], [3, 1]]);
  assert.equal(f.out.sent[1]!.seq, 8);
  f.answer(2);
  await turn();
  assert.deepEqual(f.ids(), [[], [3, 1], [2]]);
});

Deno.test("ForwardedStream gives a sign of life four times a second while it owes answers, and none else", async () => {
  const f = new Fixture();
  f.clock.advance(2000);
  assert.equal(f.out.sent.length, 1);
  f.ask(1);
  f.clock.advance(1000);
  assert.ok(f.out.sent.length >= 4, `${f.out.sent.length} messages`);
  f.answer(1);
  await turn();
  const { length } = f.out.sent;
  f.clock.advance(2000);
  assert.equal(f.out.sent.length, length);
});

Deno.test("ForwardedStream refuses while this replica is not the sequencer", async () => {
  const f = new Fixture();
  f.host.isTaking = false;
  f.ask(1, 2);
  await turn();
  assert.deepEqual(f.refused(), [1, 2]);
  assert.equal(f.host.made.size, 0);
});

Deno.test("ForwardedStream waits for what its peer has applied, for a second", async () => {
  const f = new Fixture();
  f.ask({ seq: 5 }, 1);
  await turn();
  assert.equal(f.host.made.size, 0);
  f.host.log.seq = 5;
  await turn();
  assert.equal(f.host.made.size, 1);
  f.ask({ seq: 6 }, 2);
  f.clock.advance(1000);
  await turn();
  assert.deepEqual(f.refused(), [2]);
});

Deno.test("ForwardedStream whose role ends while it waits for the log makes nothing", async () => {
  const f = new Fixture();
  f.ask({ seq: 5 }, 1);
  f.host.isTaking = false;
  f.host.log.seq = 5;
  await turn();
  assert.deepEqual(f.refused(), [1]);
});

Deno.test("ForwardedStream holds answers that are not read, and sends them in pieces", async () => {
  const f = new Fixture();
  f.out.bufferedBytes = 5 << 20;
  f.ask(1, 2, 3);
  const response = new Uint8Array(800 << 10);
  for (const id of [1, 2, 3]) f.answer(id, response);
  await turn();
  assert.equal(f.out.sent.length, 1);
  f.out.bufferedBytes = 0;
  f.out.onDrain!();
  assert.deepEqual(f.ids(), [[], [1, 2], [3]]);
});

Deno.test("ForwardedStream ends when the other side leaves 256 MiB of answers unread", async () => {
  const f = new Fixture();
  f.out.bufferedBytes = Infinity;
  const response = new Uint8Array(64 << 20);
  f.ask(1, 2, 3, 4, 5);
  for (const id of [1, 2, 3, 4]) f.answer(id, response);
  await turn();
  assert.equal(f.out.isEnded, false);
  f.answer(5, response);
  await turn();
  assert.equal(f.out.isEnded, true);
  assert.equal(f.stream.isOver, true);
});

Deno.test("ForwardedStream.finish() answers what is under way, refuses the rest, and ends in good order", async () => {
  const f = new Fixture();
  f.ask(1);
  const finished = f.stream.finish();
  f.ask(2);
  await turn();
  assert.deepEqual(f.refused(), [2]);
  assert.equal(f.out.isEnded, false);
  f.answer(1);
  await finished;
  assert.equal(f.out.endedWith, "ok");
  assert.deepEqual(f.host.gone, [f.stream]);
});

Deno.test("ForwardedStream.finish() waits for two seconds, and then fails", async () => {
  const f = new Fixture();
  f.ask(1);
  const finished = f.stream.finish();
  f.clock.advance(2000);
  await finished;
  assert.notEqual(f.out.endedWith, "ok");
});

Deno.test("ForwardedStream that is cancelled tells its calls, and answers no more", async () => {
  const f = new Fixture();
  f.ask(1);
  const { signal } = f.stream;
  assert.equal(f.stream.isOver, false);
  f.stream.onCancel();
  assert.equal(f.stream.isOver, true);
  assert.equal(signal.aborted, true);
  f.answer(1);
  f.ask(2);
  f.clock.advance(2000);
  await turn();
  assert.deepEqual(f.ids(), [[]]);
  assert.deepEqual(f.host.gone, [f.stream]);
});

/** Makes calls when a test lets it. */
class FakeHost implements ForwardHost {
  isTaking = true;
  readonly log = new FakeReplicatedLog();
  readonly clock = new FakeClock();
  readonly made = new Map<number, (answer: ForwardedAnswer) => void>();
  readonly gone: ForwardedStream[] = [];

  make({ id }: ForwardedCall): Promise<ForwardedAnswer> {
    return new Promise((resolve) => this.made.set(id, resolve));
  }

  ended(stream: ForwardedStream): void {
    this.gone.push(stream);
  }
}

class Fixture {
  readonly host = new FakeHost();
  readonly clock = this.host.clock;
  readonly out = new FakeWriter<ForwardAnswers>();
  readonly stream = new ForwardedStream("a", this.out, this.host);

  ask(...args: (number | { seq: number })[]): void {
    let seq = 0;
    const calls: ForwardedCall[] = [];
    for (const arg of args) {
      if (typeof arg === "number") calls.push(newForwardedCall({ id: arg }));
      else seq = arg.seq;
    }
    this.stream.onMessage(newForwardRequests({ seq, calls }));
  }

  answer(id: number, response = new Uint8Array(0)): void {
    this.host.made.get(id)!(newForwardedAnswer({ id, response }));
  }

  /** Of the answers in each message. */
  ids(): number[][] {
    return this.out.sent.map(({ answers }) => answers.map(({ id }) => id));
  }

  refused(): number[] {
    return this.out.sent.flatMap(({ answers }) => answers)
      .filter(({ refused }) => refused).map(({ id }) => id);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
