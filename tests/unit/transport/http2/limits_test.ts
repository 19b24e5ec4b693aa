import assert from "node:assert/strict";
import { FrameType } from "../../../../src/transport/http2/frame.ts";
import { frame } from "../../../support/h2_client.ts";
import {
  bodyOf,
  HEAD,
  REQUEST,
  Session,
  TAIL,
} from "../../../support/h2_session.ts";

interface Flood {
  readonly what: string;
  readonly limit: number;
  /** The bytes of the n-th frame. */
  readonly frame: (session: Session) => Uint8Array;
  /** Frames of this kind that came with `Session.open`. */
  readonly before?: number;
}

const { client } = new Session();
const FLOODS: Flood[] = [
  {
    what: "SETTINGS frames",
    limit: 100,
    frame: () => client.settings(),
    before: 2,
  },
  {
    what: "stream resets",
    limit: 1000,
    frame: (session) => {
      const id = session.client.nextId();
      session.request(true, id);
      return client.rstStream(id, 8);
    },
  },
  {
    what: "stream resets",
    limit: 1000,
    frame: (session) =>
      client.headers(session.client.nextId(), [":path", "/"], true),
  },
  {
    what: "empty frames",
    limit: 1000,
    frame: (session) => {
      if (session.connection.openStreams === 0) session.request(false);
      return client.data(1, new Uint8Array(0), false);
    },
  },
  {
    what: "empty frames",
    limit: 1000,
    frame: () => frame(FrameType.Priority, 0, 5, new Uint8Array(5)),
  },
  { what: "empty frames", limit: 1000, frame: () => frame(0xfa, 0, 0) },
  {
    what: "WINDOW_UPDATE frames",
    limit: 10_000,
    frame: () => client.windowUpdate(0, 1),
  },
];

for (const [n, flood] of FLOODS.entries()) {
  Deno.test(`Connection ends a flood of ${flood.what} (${n})`, () => {
    const session = Session.open();
    for (let i = flood.before ?? 0; i < flood.limit; i++) {
      session.receive(flood.frame(session));
    }
    assert.equal(session.closed, "no");
    const lines = session.receive(flood.frame(session));
    assert.match(
      lines.at(-1)!,
      new RegExp(`^GOAWAY \\d+ 11 too many ${flood.what}`),
    );
  });

  Deno.test(`Connection lets ${flood.what} pass that take their time (${n})`, () => {
    const session = Session.open();
    for (let window = 0; window < 3; window++) {
      for (let i = 0; i < flood.limit; i++) {
        if (i === 1) session.clock.advance(10_000);
        session.receive(flood.frame(session));
      }
    }
    assert.equal(session.closed, "no");
  });
}

Deno.test("Connection ends a flood of PING frames where pings may come at any rate", () => {
  const session = Session.open({
    minPingIntervalMs: 0,
    permitPingWithoutStream: true,
  });
  for (let i = 0; i < 1000; i++) session.receive(client.ping("12345678"));
  assert.equal(session.closed, "no");
  const lines = session.receive(client.ping("12345678"));
  assert.equal(lines.at(-1), "GOAWAY 0 11 too many PING frames");
});

Deno.test("Connection lets a client cancel as many calls as it gets answered", () => {
  const session = Session.open();
  session.receive(client.windowUpdate(0, 1_000_000));
  for (let i = 0; i < 1500; i++) {
    const id = session.client.nextId();
    session.request(true, id).respond(HEAD, 5, bodyOf(7, 5), TAIL);
    const cancelled = session.client.nextId();
    session.request(true, cancelled);
    session.receive(client.rstStream(cancelled, 8));
  }
  assert.equal(session.closed, "no");
});

Deno.test("Connection does not count resets of streams that were being answered", () => {
  const session = Session.open();
  for (let i = 0; i < 1500; i++) {
    const stream = session.request(true);
    stream.sendHeaders(HEAD, false);
    session.receive(client.rstStream(stream.id, 8));
  }
  assert.equal(session.closed, "no");
});

Deno.test("Connection ends when the client makes it write and does not read", () => {
  const session = Session.open({ maxQueuedOutputBytes: 10_000 });
  session.queuedBytes = 10_000;
  session.receive(client.settings());
  assert.equal(session.closed, "no");
  session.queuedBytes = 10_001;
  const lines = session.receive(client.settings());
  assert.equal(lines.at(-1), "GOAWAY 0 11 client does not read its answers");
});

Deno.test("Connection.receive() keeps no more of a frame than has arrived", () => {
  // What a frame promises is refused by its header alone.
  const session = Session.open();
  const lines = session.receive(
    client.headers(1, REQUEST, false),
    Uint8Array.of(0xff, 0xff, 0xff, FrameType.Data, 0, 0, 0, 0, 1),
  );
  assert.match(lines.at(-1)!, /^GOAWAY 1 6 /);
});
