import assert from "node:assert/strict";
import type { RosterEntry } from "../../../src/backend/replica_table.ts";
import {
  type ForwardAnswers,
  type ForwardedAnswer,
  type ForwardRequests,
  newForwardAnswers,
  newForwardedAnswer,
  newForwardedCall,
} from "../../../src/pb/stelepb.ts";
import { PeerLink } from "../../../src/replica/peer_link.ts";
import type {
  PeerListener,
  PeerStream,
  PeerTransport,
} from "../../../src/replica/peer_transport.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { FakeReplicatedLog, rosterEntry } from "../../support/forwarding.ts";

const MAX_MESSAGE_BYTES = 1000;

Deno.test("PeerLink is usable when the other side has spoken", () => {
  const f = new Fixture();
  assert.equal(f.link.isUsable, false);
  f.hear();
  assert.equal(f.link.isUsable, true);
});

Deno.test("PeerLink goes down if the other side does not speak within a second", () => {
  const f = new Fixture();
  f.clock.advance(999);
  assert.deepEqual(f.downs, []);
  f.clock.advance(1);
  assert.deepEqual(f.downs, ["no answer within 1000 ms"]);
  assert.equal(f.transport.isClosed, true);
});

Deno.test("PeerLink sends the calls of one turn as one message, and no message too large", async () => {
  const f = new Fixture();
  f.hear();
  f.log.seq = 3;
  for (let i = 0; i < 5; i++) void f.ask(100).catch(() => {});
  assert.equal(f.transport.sent.length, 0);
  await turn();
  assert.deepEqual(f.sizes(), [5]);
  assert.equal(f.transport.sent[0]!.seq, 3);
  for (let i = 0; i < 5; i++) void f.ask(400).catch(() => {});
  await turn();
  assert.deepEqual(f.sizes(), [5, 2, 2, 1]);
  const ids = f.transport.sent.flatMap(({ calls }) => calls.map((c) => c.id));
  assert.equal(new Set(ids).size, 10);
  f.link.close();
});

Deno.test("PeerLink.fits() draws the line at a whole message", () => {
  const f = new Fixture();
  const call = (bytes: number) =>
    newForwardedCall({ path: "/p", request: new Uint8Array(bytes) });
  assert.equal(f.link.fits(call(MAX_MESSAGE_BYTES - 39)), true);
  assert.equal(f.link.fits(call(MAX_MESSAGE_BYTES - 38)), false);
});

Deno.test("PeerLink answers in any order, and gives back what was refused", async () => {
  const f = new Fixture();
  f.hear();
  const [first, second, third] = [f.ask(), f.ask(), f.ask()];
  await turn();
  f.hear([answer(3), newForwardedAnswer({ id: 2, refused: true }), answer(1)]);
  f.hear([answer(1), answer(99)]);
  assert.equal((await first)?.id, 1);
  assert.equal(await second, undefined);
  assert.equal((await third)?.id, 3);
});

Deno.test("PeerLink.ask() resolves when the log has come as far as the answer, or after a second", async () => {
  const f = new Fixture();
  f.hear();
  const done: number[] = [];
  for (const id of [1, 2]) void f.ask().then(() => done.push(id));
  await turn();
  f.hear([answer(1)], 5);
  f.hear([answer(2)], 9);
  await turn();
  assert.deepEqual(done, []);
  f.log.seq = 5;
  await turn();
  assert.deepEqual(done, [1]);
  f.clock.advance(1000);
  await turn();
  assert.deepEqual(done, [1, 2]);
});

Deno.test("PeerLink is suspect after a second of silence, and usable again when it hears something", async () => {
  const f = new Fixture();
  f.hear();
  const asked = f.ask();
  await turn();
  f.clock.advance(999);
  assert.equal(f.link.isUsable, true);
  f.clock.advance(1);
  assert.equal(f.link.isUsable, false);
  f.hear();
  assert.equal(f.link.isUsable, true);
  f.clock.advance(750);
  f.hear([answer(1)]);
  assert.equal((await asked)?.id, 1);
});

Deno.test("PeerLink fails what waits after two seconds of silence", async () => {
  const f = new Fixture();
  f.hear();
  const asked = assert.rejects(f.ask(), { kind: "timeoutConnectionLost" });
  await turn();
  f.clock.advance(2000);
  await asked;
  assert.deepEqual(f.downs, ["silent for 2000 ms"]);
  assert.equal(f.transport.isClosed, true);
});

Deno.test("PeerLink takes no silence amiss while nothing waits", async () => {
  const f = new Fixture();
  f.hear();
  const asked = f.ask();
  await turn();
  f.hear([answer(1)]);
  await asked;
  f.clock.advance(60_000);
  assert.equal(f.link.isUsable, true);
  assert.deepEqual(f.downs, []);
});

Deno.test("PeerLink that ends with an error fails what was sent, and gives back what was not", async () => {
  const f = new Fixture();
  f.hear();
  const sent = assert.rejects(f.ask(), { kind: "timeoutConnectionLost" });
  await turn();
  const unsent = f.ask();
  f.transport.listener!.onClose(new Error("cut"));
  await sent;
  assert.equal(await unsent, undefined);
  assert.deepEqual(f.downs, ["cut"]);
});

Deno.test("PeerLink that the other side ends in good order gives back all that waits", async () => {
  const f = new Fixture();
  f.hear();
  const asked = f.ask();
  await turn();
  f.transport.listener!.onClose(undefined);
  assert.equal(await asked, undefined);
  assert.deepEqual(f.downs, [undefined]);
});

Deno.test("PeerLink.retire() waits for answers, and then closes without a word", async () => {
  const f = new Fixture();
  f.hear();
  const asked = f.ask();
  await turn();
  f.link.retire();
  assert.equal(f.link.isUsable, false);
  assert.equal(f.transport.isClosed, false);
  f.hear([answer(1)]);
  assert.equal((await asked)?.id, 1);
  assert.equal(f.transport.isClosed, true);
  await f.link.closed;
  assert.deepEqual(f.downs, []);
});

Deno.test("PeerLink.isFull at 5000 calls that wait", () => {
  const f = new Fixture();
  f.hear();
  for (let i = 0; i < 4999; i++) void f.ask().catch(() => {});
  assert.equal(f.link.isFull, false);
  void f.ask().catch(() => {});
  assert.equal(f.link.isFull, true);
  f.link.close();
});

/** A link to a peer that a test plays. */
class Fixture {
  readonly clock = new FakeClock();
  readonly log = new FakeReplicatedLog();
  readonly transport = new FakeTransport();
  readonly downs: (string | undefined)[] = [];
  readonly link = new PeerLink(
    rosterEntry(2n, 2n, "http://b:2379"),
    this.transport,
    this.log,
    this.clock,
    (_link, error) => this.downs.push(error?.message),
    { maxMessageBytes: MAX_MESSAGE_BYTES },
  );

  ask(bytes = 10): Promise<ForwardedAnswer | undefined> {
    const request = new Uint8Array(bytes);
    return this.link.ask(newForwardedCall({ path: "/p", request }));
  }

  /** The other side says something. */
  hear(answers: ForwardedAnswer[] = [], seq = 0): void {
    const message: ForwardAnswers = newForwardAnswers({ seq, answers });
    this.transport.listener!.onAnswers(message);
  }

  /** Calls in each message. */
  sizes(): number[] {
    return this.transport.sent.map(({ calls }) => calls.length);
  }
}

class FakeTransport implements PeerTransport, PeerStream {
  listener: PeerListener | undefined = undefined;
  readonly sent: ForwardRequests[] = [];
  isClosed = false;

  connect(_peer: RosterEntry, listener: PeerListener): PeerStream {
    this.listener = listener;
    return this;
  }

  send(message: ForwardRequests): void {
    this.sent.push(message);
  }

  close(): void {
    this.isClosed = true;
  }
}

function answer(id: number): ForwardedAnswer {
  return newForwardedAnswer({ id });
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}
