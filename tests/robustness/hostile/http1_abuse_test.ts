import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { concatBytes, EMPTY, text, utf8 } from "../../../src/base/bytes.ts";
import { RawClient } from "./raw_client.ts";
import { type Bounds, Victim } from "./victim.ts";

const HOST = "Host: a\r\n";
const HEALTH = utf8(`GET /health HTTP/1.1\r\n${HOST}\r\n`);
const BODY_CHUNK = new Uint8Array(64 << 10).fill(0x20);

/** Bodies of a megabyte and their garbage; a chunk of 1,700 small requests is parsed in one go. */
const BOUNDS: Bounds = { maxGrowthMib: 192, maxP99CpuMs: 1_500 };

/** A call of the gateway whose body follows. */
function putOf(headers: string): Uint8Array {
  return utf8(`POST /v3/kv/put HTTP/1.1\r\n${HOST}${headers}\r\n`);
}

/** A call of the gateway, whole. */
function putBody(body: Uint8Array, headers = ""): Uint8Array {
  return concatBytes(
    putOf(`${headers}Content-Length: ${body.length}\r\n`),
    body,
  );
}

/** What a client sends, and what it is told; `next` goes on and on behind `first`. */
const ABUSES: readonly {
  readonly name: string;
  readonly said: RegExp;
  readonly first: Uint8Array;
  readonly next?: Uint8Array;
  /** The connection goes on afterwards. */
  readonly isKept?: boolean;
}[] = [
  {
    name: "header fields without end",
    said: /^HTTP\/1\.1 431 /,
    first: utf8(`GET /health HTTP/1.1\r\n${HOST}`),
    next: utf8(`X-A: ${"b".repeat(1_000)}\r\n`),
  },
  {
    name: "a header field without end",
    said: /^HTTP\/1\.1 431 /,
    first: utf8(`GET /health HTTP/1.1\r\n${HOST}X-A: `),
    next: BODY_CHUNK.slice().fill(0x62),
  },
  {
    name: "a path without end",
    said: /^HTTP\/1\.1 431 /,
    first: utf8("GET /"),
    next: BODY_CHUNK.slice().fill(0x62),
  },
  {
    name: "a body beyond the limit",
    said: /^HTTP\/1\.1 429 [^]*received message larger than max/,
    first: putOf("Content-Length: 10000000000\r\n"),
    next: BODY_CHUNK,
  },
  {
    name: "a body of chunks beyond the limit",
    said: /^HTTP\/1\.1 429 [^]*received message larger than max/,
    first: putOf("Transfer-Encoding: chunked\r\n"),
    next: concatBytes(utf8("10000\r\n"), BODY_CHUNK, utf8("\r\n")),
  },
  {
    name: "a body where there is none",
    said: /^HTTP\/1\.1 405 /,
    first: utf8(
      `POST /version HTTP/1.1\r\n${HOST}Content-Length: 10000000000\r\n\r\n`,
    ),
    next: BODY_CHUNK,
  },
  {
    name: "requests without end, and answers that are not read",
    said: /^/,
    first: HEALTH,
    next: concatBytes(...Array.from({ length: 1_000 }, () => HEALTH)),
  },
  {
    name: "JSON that is nested without end",
    said: /^HTTP\/1\.1 400 /,
    first: putBody(new Uint8Array(1 << 20).fill(0x5b)),
    isKept: true,
  },
  {
    name: "objects that are nested without end",
    said: /^HTTP\/1\.1 400 /,
    first: putBody(utf8('{"x":'.repeat(200_000))),
    isKept: true,
  },
  {
    name: "transactions that are nested without end",
    said: /^HTTP\/1\.1 400 /,
    first: utf8(
      `POST /v3/kv/txn HTTP/1.1\r\n${HOST}Content-Length: 780000\r\n\r\n` +
        '{"success":[{"request_txn":{"success":['.repeat(20_000),
    ),
    isKept: true,
  },
  {
    name: "a number of a million digits",
    said: /^HTTP\/1\.1 400 /,
    first: putBody(utf8(`{"lease":${"9".repeat(1_000_000)}}`)),
    isKept: true,
  },
  {
    name: "JSON that is not UTF-8",
    said: /^HTTP\/1\.1 400 /,
    first: putBody(utf8('{"key":"a"}').map((b) => b === 0x61 ? 0xff : b)),
    isKept: true,
  },
  {
    name: "a gzip bomb, which is not unpacked",
    said: /^HTTP\/1\.1 400 /,
    first: putBody(
      gzipSync(new Uint8Array(32 << 20)),
      "Content-Encoding: gzip\r\n",
    ),
    isKept: true,
  },
  ...[
    ["two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"],
    [
      "a length and chunks",
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ],
    ["a negative length", "Content-Length: -1\r\n"],
    ["a length of 2^64", "Content-Length: 18446744073709551616\r\n"],
    ["a field without a name", ": x\r\n"],
    ["a blank before the colon", "X : y\r\n"],
    ["a NUL in a field", "X: a\0b\r\n"],
  ].map(([name, headers]) => ({
    name: `a request with ${name}`,
    said: /^(HTTP\/1\.1 400 |$)/,
    first: concatBytes(putOf(headers!), utf8("{}")),
  })),
  {
    name: "a chunk whose length is none",
    said: /^(HTTP\/1\.1 400 |$)/,
    first: concatBytes(
      putOf("Transfer-Encoding: chunked\r\n"),
      utf8("xyz\r\n{}\r\n0\r\n\r\n"),
    ),
  },
];

Deno.test("HTTP/1.1 that breaks a rule or a limit is answered with an error, and costs nothing", async (t) => {
  await using victim = await Victim.start();
  for (const { name, said, first, next = EMPTY, isKept = false } of ABUSES) {
    await t.step(name, async () => {
      await victim.endure(name, async () => {
        using client = await RawClient.open(victim.port);
        client.write(first);
        if (next.length > 0) await client.flood(10_000, () => next);
        await client.until(
          "an answer, or the end",
          () => isKept && client.said.includes("\r\n\r\n"),
        );
        // A client that is still writing when it is cut off may not see why.
        if (next.length === 0 || client.said !== "") {
          assert.match(client.said, said);
        }
        assert.equal(client.isClosed, !isKept);
      }, BOUNDS);
    });
  }
});

Deno.test("clients that send a header field now and then are cut off after 10 s", async () => {
  await using victim = await Victim.start();
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => RawClient.open(victim.port)),
  );
  for (const client of clients) {
    client.write(utf8(`GET /health HTTP/1.1\r\n${HOST}`));
  }
  await victim.endure("200 slow requests", async () => {
    while (clients.some((client) => !client.isClosed)) {
      for (const client of clients) client.write(utf8("X: y\r\n"));
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  });
});

Deno.test("a hundred bodies of a megabyte right behind their heads are all taken", async () => {
  await using victim = await Victim.start();
  const value = "A".repeat(1 << 20);
  const request = putBody(utf8(`{"key":"YQ==","value":"${value}"}`));
  const headBytes = text(request.subarray(0, 200)).indexOf("{");
  await victim.endure("bodies of 1 MiB", async () => {
    for (let i = 0; i < 100; i++) {
      using client = await RawClient.open(victim.port);
      client.write(request.subarray(0, headBytes));
      client.write(request.subarray(headBytes));
      await client.until("an answer", () => client.said.includes("raft_term"));
      assert.match(client.said, /^HTTP\/1\.1 200 /);
    }
  }, { maxGrowthMib: 320 });
});
