import assert from "node:assert/strict";
import { concatBytes, EMPTY, utf8 } from "../../../src/base/bytes.ts";
import { RawClient } from "./raw_client.ts";
import { Victim } from "./victim.ts";

/** Opcodes (RFC 6455, 5.2). */
const CONTINUATION = 0;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const FIN = 0x80;
const MASKED = 0x80;

/** What the gateway takes in one message: twice the largest request. */
const MAX_MESSAGE_BYTES = 4 << 20;
/** What all messages that are not whole may take together: `DEFAULT_MAX_PARTIAL_BYTES`. */
const PARTIAL_MIB = 256;

/** A frame as clients send it, with a mask of zeros. */
function frame(
  firstByte: number,
  payload: Uint8Array = EMPTY,
  length = payload.length,
): Uint8Array {
  const head = length < 126
    ? [length]
    : length < 65_536
    ? [126, length >> 8, length]
    : [127, 0, 0, 0, 0, length >>> 24, length >> 16, length >> 8, length];
  head[0]! |= MASKED;
  return concatBytes(Uint8Array.of(firstByte, ...head, 0, 0, 0, 0), payload);
}

function repeat(bytes: Uint8Array, count: number): Uint8Array {
  return concatBytes(...Array.from({ length: count }, () => bytes));
}

function handshake(path: string, key = "dGhlIHNhbXBsZSBub25jZQ=="): Uint8Array {
  return utf8(
    `GET ${path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n` +
      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
      `Sec-WebSocket-Key: ${key}\r\n\r\n`,
  );
}

/** A client whose handshake is through. */
async function open(victim: Victim, path = "/v3/watch"): Promise<RawClient> {
  const client = await RawClient.open(victim.port);
  client.write(handshake(path));
  await client.until("the handshake", () => client.said.includes("\r\n\r\n"));
  assert.match(client.said, /^HTTP\/1\.1 101 /);
  return client;
}

/** What ends a connection: its close frame holds this code (RFC 6455, 7.4.1). */
const ENDS: readonly {
  readonly name: string;
  readonly code: number;
  readonly bytes: Uint8Array;
  readonly times?: number;
}[] = [
  {
    name: "a message beyond the limit",
    code: 1009,
    bytes: frame(FIN | TEXT, EMPTY, MAX_MESSAGE_BYTES + 1),
  },
  {
    name: "a message of fragments without end",
    code: 1008,
    bytes: concatBytes(
      frame(TEXT),
      repeat(frame(CONTINUATION, Uint8Array.of(0x20)), 20_000),
    ),
  },
  {
    name: "a frame that is not masked",
    code: 1002,
    bytes: Uint8Array.of(FIN | TEXT, 2, 0x7b, 0x7d),
  },
  {
    name: "reserved bits",
    code: 1002,
    bytes: frame(FIN | 0x40 | TEXT, utf8("{}")),
  },
  { name: "an unknown opcode", code: 1002, bytes: frame(FIN | 3) },
  {
    name: "a continuation of nothing",
    code: 1002,
    bytes: frame(FIN | CONTINUATION),
  },
  { name: "a ping in fragments", code: 1002, bytes: frame(PING) },
  {
    name: "a long ping",
    code: 1002,
    bytes: frame(FIN | PING, new Uint8Array(126)),
  },
  {
    name: "text that is not UTF-8",
    code: 1007,
    bytes: frame(FIN | TEXT, Uint8Array.of(0xc3, 0x28)),
  },
];

Deno.test("a WebSocket that breaks a rule or a limit is closed with the code that says so", async (t) => {
  await using victim = await Victim.start();
  for (const { name, code, bytes } of ENDS) {
    await t.step(name, async () => {
      await victim.endure(name, async () => {
        using client = await open(victim);
        client.write(bytes);
        const closing = String.fromCharCode(
          FIN | CLOSE,
          2,
          code >> 8,
          code & 0xff,
        );
        await client.until(
          "a close frame",
          () => client.latin1.includes(closing),
        );
        assert.ok(client.latin1.includes(closing), client.latin1);
      }, { maxGrowthMib: 128 });
    });
  }
});

Deno.test("a handshake that is wrong is no WebSocket", async (t) => {
  await using victim = await Victim.start();
  for (
    const [name, bytes] of [
      ["a key that is none", handshake("/v3/watch", "short")],
      ["a path that is none", handshake("/v3/nothing")],
    ] as const
  ) {
    await t.step(name, async () => {
      using client = await RawClient.open(victim.port);
      client.write(bytes);
      await client.until("the end", () => client.said.includes("Not Found"));
      assert.match(client.said, /^HTTP\/1\.1 4|"message":"Not Found"/);
    });
  }
});

/** What clients send that never read. */
const FLOODS: readonly { readonly name: string; readonly bytes: Uint8Array }[] =
  [
    { name: "pings", bytes: frame(FIN | PING, new Uint8Array(125)) },
    { name: "watchers", bytes: message({ create_request: {} }) },
    {
      name: "watchers that are refused",
      bytes: message({ create_request: { key: "YQ==", range_end: "YQ==" } }),
    },
    { name: "what is no JSON", bytes: frame(FIN | TEXT, utf8("nonsense")) },
  ];

function message(value: unknown): Uint8Array {
  return frame(FIN | TEXT, utf8(JSON.stringify(value)));
}

Deno.test("WebSockets that send on and on, and read nothing, are held back or cut off", async (t) => {
  await using victim = await Victim.start();
  for (const { name, bytes } of FLOODS) {
    await t.step(name, async () => {
      await victim.endure(`a flood of ${name}`, async () => {
        using client = await open(victim);
        client.socket.pause();
        const chunk = repeat(bytes, 500);
        const flood = client.flood(2_000, () => chunk).catch(() => {});
        const enough = new Promise((resolve) => setTimeout(resolve, 2_000));
        await Promise.race([flood, enough]);
        client[Symbol.dispose]();
        await flood;
        // A watcher costs a kilobyte, and a chunk holds 1,400 of them.
      }, { maxGrowthMib: 192, maxP99CpuMs: 1_500 });
    });
  }
});

Deno.test("messages that are not whole share a budget, and WebSockets beyond it are cut off", async () => {
  await using victim = await Victim.start();
  const most = 2 * PARTIAL_MIB / 4;
  await victim.endure(`${most} halves of messages`, async () => {
    const clients: RawClient[] = [];
    const half = frame(
      FIN | TEXT,
      new Uint8Array(MAX_MESSAGE_BYTES - 1_000),
      MAX_MESSAGE_BYTES,
    );
    for (let i = 0; i < most; i++) {
      const client = await open(victim);
      clients.push(client);
      client.write(half);
      await client.until(
        "it is taken",
        () => client.socket.writableLength === 0,
      );
    }
    const cut = clients.filter((client) => client.isClosed).length;
    for (const client of clients) client[Symbol.dispose]();
    assert.ok(cut > 0 && cut <= most - PARTIAL_MIB / 4 + 2, `${cut}`);
  }, { maxGrowthMib: PARTIAL_MIB + 192 });
});
