import assert from "node:assert/strict";
import { concatBytes, EMPTY } from "../../../src/base/bytes.ts";
import { Flag, FrameType } from "../../../src/transport/http2/frame.ts";
import { Literal } from "../../../src/transport/http2/hpack/field_encoder.ts";
import { ClientFrames, frame, uint32 } from "../../support/h2_client.ts";
import { callFields, RawClient } from "./raw_client.ts";
import { Victim } from "./victim.ts";

/** More than any limit of frames. */
const MANY = 200_000;
/** How long floods of all kinds go on at once. */
const FLOODED_MS = 4_000;
const RANGE = callFields("/etcdserverpb.KV/Range");

/** Floods that are ended with a GOAWAY, by what they send and what they are told. */
const FLOODS: readonly {
  readonly name: string;
  readonly goAway: string;
  prepare?(client: RawClient): void;
  next(client: RawClient, i: number): Uint8Array;
}[] = [
  {
    name: "streams that are reset at once",
    goAway: "EnhanceYourCalm too many stream resets",
    next: ({ frames }) => {
      const id = frames.nextId();
      return concatBytes(
        frames.headers(id, RANGE, false),
        frames.rstStream(id, 8),
      );
    },
  },
  {
    name: "streams that break a rule",
    goAway: "EnhanceYourCalm too many stream resets",
    next: ({ frames }) => frames.headers(frames.nextId(), ["a", "b"], true),
  },
  {
    name: "SETTINGS",
    goAway: "EnhanceYourCalm too many SETTINGS frames",
    next: ({ frames }) => frames.settings([4, 70_000]),
  },
  {
    name: "acknowledgements of SETTINGS",
    goAway: "EnhanceYourCalm too many SETTINGS frames",
    next: ({ frames }) => frames.settingsAck(),
  },
  {
    name: "PING",
    goAway: "EnhanceYourCalm too_many_pings",
    next: ({ frames }) => frames.ping("12345678"),
  },
  {
    name: "acknowledgements of PING",
    goAway: "EnhanceYourCalm too many PING frames",
    next: ({ frames }) => frames.pingAck(new Uint8Array(8)),
  },
  {
    name: "unknown frames",
    goAway: "EnhanceYourCalm too many empty frames",
    next: () => frame(0x77, 0xff, 1, new Uint8Array(100)),
  },
  {
    name: "PRIORITY",
    goAway: "EnhanceYourCalm too many empty frames",
    next: (_, i) =>
      frame(FrameType.Priority, 0, 2 * i + 1, new Uint8Array([0, 0, 0, 0, 1])),
  },
  {
    name: "DATA without data",
    goAway: "EnhanceYourCalm too many empty frames",
    prepare: (client) => openCall(client),
    next: ({ frames }) => frames.data(1, EMPTY, false),
  },
  {
    name: "DATA without data on a stream that is over",
    goAway: "EnhanceYourCalm too many empty frames",
    prepare: (client) => {
      openCall(client);
      client.write(client.frames.rstStream(1, 8));
    },
    next: ({ frames }) => frames.data(1, EMPTY, false),
  },
  {
    name: "WINDOW_UPDATE",
    goAway: "EnhanceYourCalm too many WINDOW_UPDATE frames",
    next: ({ frames }) => frames.windowUpdate(0, 1),
  },
  {
    name: "WINDOW_UPDATE beyond 2^31-1",
    goAway: "FlowControlError the connection's window exceeds 2^31-1",
    next: ({ frames }) => frames.windowUpdate(0, 2 ** 30),
  },
  {
    name: "GOAWAY",
    goAway: "EnhanceYourCalm too many empty frames",
    next: () => frame(FrameType.GoAway, 0, 0, new Uint8Array(8)),
  },
  {
    name: "CONTINUATION",
    goAway: "EnhanceYourCalm header section too large",
    prepare: (client) => openSection(client),
    next: () => frame(FrameType.Continuation, 0, 1, new Uint8Array(16_384)),
  },
  {
    name: "CONTINUATION without anything",
    goAway: "EnhanceYourCalm too many CONTINUATION frames",
    prepare: (client) => openSection(client),
    next: () => frame(FrameType.Continuation, 0, 1),
  },
  {
    name: "header sections that grow when decoded",
    goAway: "EnhanceYourCalm header section much too large",
    prepare: (client) => warmTable(client),
    next: ({ frames }) => frames.headersOf(frames.nextId(), HPACK_BOMB, true),
  },
  {
    name: "header sections above the limit",
    goAway: "EnhanceYourCalm too many stream resets",
    next: ({ frames }) =>
      frames.headersOf(frames.nextId(), LARGE_SECTION, true),
  },
  {
    name: "changes of the size of the HPACK table",
    goAway: "CompressionError",
    next: ({ frames }) =>
      frames.headersOf(
        frames.nextId(),
        new Uint8Array(10_000).fill(0x20),
        true,
      ),
  },
  {
    name: "frames above the limit",
    goAway: "FrameSizeError",
    next: () => frame(FrameType.Data, 0, 1, new Uint8Array(16_385)),
  },
];

/** Index 62 is the newest entry of the dynamic table. */
const HPACK_BOMB = new Uint8Array(16_000).fill(0x80 | 62);

/** Fields of 66,930 bytes as RFC 9113 counts them, in less than one frame. */
const LARGE_SECTION = new ClientFrames().block([
  ...RANGE,
  ...Array.from({ length: 1_900 }, () => ["a", "b"]).flat(),
  ...Array.from({ length: 10 }, () => ["c", "d".repeat(200)]).flat(),
]);

/** One entry that fills the table. */
function warmTable({ frames, socket }: RawClient): void {
  const out: number[] = [];
  frames.encoder.append(out, "x", "y".repeat(4_000), Literal.Indexing);
  socket.write(
    frames.headersOf(
      frames.nextId(),
      concatBytes(frames.block(RANGE), Uint8Array.from(out)),
      true,
    ),
  );
}

function openCall({ frames, socket }: RawClient): void {
  socket.write(frames.headers(frames.nextId(), RANGE, false));
}

function openSection({ frames, socket }: RawClient): void {
  const block = frames.block(RANGE);
  socket.write(frame(FrameType.Headers, 0, frames.nextId(), block));
}

Deno.test("a flood of frames is ended with a GOAWAY that names the limit", async (t) => {
  await using victim = await Victim.start();
  for (const { name, goAway, prepare, next } of FLOODS) {
    await t.step(name, async () => {
      await victim.endure(name, async () => {
        using client = await RawClient.http2(victim.port);
        prepare?.(client);
        await client.flood(MANY, (i) => next(client, i));
        await client.until("the end of the connection", () => false);
        assert.ok(
          client.goAway?.startsWith(goAway),
          client.goAway ?? "no GOAWAY",
        );
      });
    });
  }
});

Deno.test("clients of all kinds that flood at once do not keep others from theirs", async () => {
  await using victim = await Victim.start();
  await victim.endure("two of each flood at once", async () => {
    const clients = await Promise.all(
      [...FLOODS, ...FLOODS].map(async (flood) => ({
        flood,
        client: await RawClient.http2(victim.port),
      })),
    );
    // On a machine that is busy some are so slow that they are no floods.
    const timer = setTimeout(() => {
      for (const { client } of clients) client[Symbol.dispose]();
    }, FLOODED_MS);
    await Promise.all(clients.map(async ({ flood, client }) => {
      flood.prepare?.(client);
      await client.flood(MANY, (i) => flood.next(client, i));
      await client.until("the end of the connection", () => false);
    }));
    clearTimeout(timer);
    // Each of them has its turn before the others' calls have theirs again.
  }, { maxGrowthMib: 128, maxP99CpuMs: 1_500 });
});

Deno.test("RST_STREAM before, with and after the answer leaves the connection alone", async () => {
  await using victim = await Victim.start();
  await victim.endure("RST_STREAM", async () => {
    using client = await RawClient.http2(victim.port);
    const { frames } = client;
    for (let round = 0; round < 300; round++) {
      const early = frames.nextId();
      const late = frames.nextId();
      const empty = frame(
        FrameType.Data,
        Flag.EndStream,
        late,
        new Uint8Array(5),
      );
      client.write(
        frames.headers(early, RANGE, false),
        frames.rstStream(early, 8),
        frames.headers(late, RANGE, false),
        empty,
      );
      await client.until("an answer", () => client.statuses.has(late));
      client.write(frames.rstStream(late, 8), uint32Frames(late));
    }
    await client.settled();
    assert.equal(client.goAway, undefined);
    assert.equal(client.isClosed, false);
  });
});

/** What may still come for a stream that is over. */
function uint32Frames(id: number): Uint8Array {
  return frame(FrameType.WindowUpdate, 0, id, uint32(1));
}
