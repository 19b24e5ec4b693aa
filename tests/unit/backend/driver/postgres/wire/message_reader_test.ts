import assert from "node:assert/strict";
import {
  type Message,
  MessageReader,
} from "../../../../../../src/backend/driver/postgres/wire/message_reader.ts";
import { MessageWriter } from "../../../../../../src/backend/driver/postgres/wire/message_writer.ts";
import { concatBytes } from "../../../../../../src/base/bytes.ts";
import { Random, seeds } from "../../../../../support/random.ts";

function all(reader: MessageReader): Message[] {
  const messages: Message[] = [];
  for (let m = reader.next(); m; m = reader.next()) messages.push(m);
  return messages;
}

for (const seed of seeds(20)) {
  Deno.test(`MessageReader.next() finds the same messages however they are cut (seed ${seed})`, () => {
    const random = new Random(seed);
    const bodies = Array.from(
      { length: 30 },
      () => new Uint8Array(random.oneIn(5) ? 10_000 : random.int(20)).fill(3),
    );
    const stream = concatBytes(
      ...bodies.map((body) =>
        new MessageWriter().begin("D").bytes(body).end().take()
      ),
    );
    const reader = new MessageReader();
    const found: Message[] = [];
    for (let at = 0; at < stream.length;) {
      const end = at + 1 + random.int(random.oneIn(3) ? 5000 : 8);
      reader.push(stream.slice(at, end));
      at = end;
      found.push(...all(reader));
    }
    assert.deepEqual(
      found.map(({ body }) => [...body]),
      bodies.map((b) => [...b]),
    );
    assert.ok(found.every(({ type }) => type === 0x44));
  });
}

for (const length of [0, 3, -1, (1 << 30) + 1]) {
  Deno.test(`MessageReader.next() refuses a length of ${length}`, () => {
    const reader = new MessageReader();
    const message = new Uint8Array(5);
    new DataView(message.buffer).setInt32(1, length);
    reader.push(message);
    assert.throws(() => reader.next(), { code: "08P01" });
  });
}
