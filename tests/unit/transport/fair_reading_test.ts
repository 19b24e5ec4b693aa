import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { FairReading } from "../../../src/transport/fair_reading.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** A socket as `FairReading` sees it. */
class FakeSocket extends EventEmitter {
  isPaused = false;

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

/** Sockets that are read; each chunk takes as many milliseconds as it has bytes. */
function sockets(count: number): { clock: FakeClock; sockets: FakeSocket[] } {
  const clock = new FakeClock();
  const reading = new FairReading(clock);
  const sockets = Array.from({ length: count }, () => new FakeSocket());
  for (const socket of sockets) {
    reading.read(
      socket as unknown as Socket,
      (chunk) => clock.advance(chunk.length),
    );
  }
  return { clock, sockets };
}

Deno.test("FairReading lets a socket rest whose chunks have taken 4 ms, until the next turn", () => {
  const { clock, sockets: [socket] } = sockets(1);
  socket!.emit("data", new Uint8Array(3));
  assert.equal(socket!.isPaused, false);
  socket!.emit("data", new Uint8Array(1));
  assert.equal(socket!.isPaused, true);
  clock.advance(0);
  assert.equal(socket!.isPaused, false);
  socket!.emit("data", new Uint8Array(3));
  assert.equal(socket!.isPaused, false);
});

Deno.test("FairReading resumes one socket a turn, in the order in which they began to rest", () => {
  const clock = new FakeClock();
  const pending: (() => void)[] = [];
  const turns = {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    every: () => ({ cancel: () => {} }),
    after: (_: number, fire: () => void) => {
      pending.push(fire);
      return { cancel: () => {} };
    },
  };
  const reading = new FairReading(turns);
  const all = Array.from({ length: 3 }, () => new FakeSocket());
  for (const socket of all) {
    reading.read(socket as unknown as Socket, () => clock.advance(4));
    socket.emit("data", new Uint8Array(1));
  }
  all[1]!.emit("close");
  const resting = () => all.map((socket) => socket.isPaused);
  assert.deepEqual(resting(), [true, true, true]);
  pending.shift()!();
  assert.deepEqual(resting(), [false, true, true]);
  pending.shift()!();
  assert.deepEqual(resting(), [false, true, false]);
  assert.deepEqual(pending, []);
});
