import assert from "node:assert/strict";
import { concatBytes } from "../../../../src/base/bytes.ts";
import { ConnectionError } from "../../../../src/transport/http2/errors.ts";
import { SettingId } from "../../../../src/transport/http2/frame.ts";
import {
  bodyOf,
  HEAD,
  REQUEST,
  Session,
  TAIL,
} from "../../../support/h2_session.ts";

const ROUNDS = 2000;

/** xorshift32. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Calls as a client makes them, in random order and number. */
function traffic(
  session: Session,
  random: (below: number) => number,
): Uint8Array {
  const { client } = session;
  const parts = [
    client.preface([SettingId.InitialWindowSize, random(5000)]),
    client.settingsAck(),
  ];
  for (let i = random(20); i >= 0; i--) {
    const id = client.nextId();
    switch (random(6)) {
      case 0:
        parts.push(client.indexedHeaders(id, REQUEST, true));
        break;
      case 1:
        parts.push(client.headers(id, REQUEST, false));
        parts.push(client.data(id, new Uint8Array(random(2000)), true));
        break;
      case 2:
        parts.push(client.headers(id, [...REQUEST, "a", "b"], false));
        parts.push(client.rstStream(id, 8));
        break;
      case 3:
        parts.push(client.indexedHeaders(id, REQUEST, false));
        parts.push(client.headers(id, ["t", "u"], true));
        break;
      case 4:
        parts.push(client.windowUpdate(0, 1 + random(10_000)));
        break;
      case 5:
        parts.push(
          client.settings([SettingId.InitialWindowSize, random(10_000)]),
        );
        break;
    }
  }
  return concatBytes(...parts);
}

Deno.test("Connection survives random damage: it ends in an error of the protocol or not at all", () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const random = generator(seed);
  for (let round = 0; round < ROUNDS; round++) {
    const where = `seed ${seed}, round ${round}`;
    const session = new Session();
    session.onRequestEnd = (stream) =>
      stream.respond(HEAD, 3000, bodyOf(7, 3000), TAIL);
    const bytes = traffic(session, random);
    for (let i = random(4); i > 0; i--) {
      bytes[24 + random(bytes.length - 24)] = random(256);
    }
    for (let at = 0; at < bytes.length;) {
      const next = at + 1 + random(500);
      session.connection.receive(bytes.slice(at, next));
      at = next;
    }
    if (session.closed !== "no") {
      assert.ok(session.closed instanceof ConnectionError, where);
      assert.equal(session.closed.cause, undefined, where);
    }
    session.connection.close();

    assert.equal(session.connection.openStreams, 0, where);
    assert.equal(session.connection.bufferedBytes, 0, where);
    const resets = session.events.filter((e) => e.startsWith("reset"));
    const ids = resets.map((e) => e.split(" ")[1]);
    assert.equal(new Set(ids).size, ids.length, `${where}: reset twice`);
  }
});
