import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { SocketSink } from "../../../src/transport/socket_sink.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** A kernel that takes everything at once. */
function greedySocket(): Socket {
  return new Writable({ write: (_chunk, _encoding, done) => done() }) as Socket;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

Deno.test("SocketSink counts what was written in a turn as queued, and tells when others have had theirs", async () => {
  let pauses = 0;
  const sink = new SocketSink(greedySocket(), new FakeClock(), () => pauses++);
  const PART = 64 << 10;
  for (let n = 1; n <= 16; n++) {
    sink.write(new Uint8Array(PART));
    await undefined;
    assert.equal(sink.queuedBytes, n * PART);
  }
  assert.equal(pauses, 0);
  await nextTurn();
  assert.deepEqual([pauses, sink.queuedBytes], [1, 0]);
});

Deno.test("SocketSink does not pause for little", async () => {
  let pauses = 0;
  const sink = new SocketSink(greedySocket(), new FakeClock(), () => pauses++);
  for (let n = 0; n < 100; n++) {
    sink.write(new Uint8Array(1000));
    await nextTurn();
  }
  assert.equal(pauses, 0);
});
