import assert from "node:assert/strict";
import {
  mergeRaw,
  Reader,
  sizeDelimited,
  sizeId,
  sizeInt64,
  sizeVarint,
  utf8Length,
  writeBytes,
  writeId,
  writeInt64,
  writeString,
  writeVarint,
} from "../../../src/pb/wire.ts";

/** The varint of a 64-bit integer, the slow and obvious way. */
function varint(n: bigint): number[] {
  const rest = BigInt.asUintN(64, n);
  return rest < 128n
    ? [Number(rest)]
    : [Number(rest & 127n) | 128, ...varint(rest >> 7n)];
}

function written(write: (out: Uint8Array, at: number) => number): number[] {
  const out = new Uint8Array(80);
  return [...out.subarray(0, write(out, 0))];
}

function reader(bytes: ArrayLike<number>): Reader {
  return new Reader(Uint8Array.from(bytes), 0, bytes.length);
}

/** Both sides of every length that a varint can have. */
const EDGES = Array.from({ length: 64 }, (_, bits) => 1n << BigInt(bits))
  .flatMap((power) => [power - 1n, power, power + 1n]);

Deno.test("writeVarint() and sizeVarint() agree with the definition up to 2^53", () => {
  for (const n of EDGES.filter((edge) => edge <= 2n ** 53n)) {
    assert.deepEqual(
      written((out, at) => writeVarint(out, at, Number(n))),
      varint(n),
      String(n),
    );
    assert.equal(sizeVarint(Number(n)), varint(n).length, String(n));
  }
});

Deno.test("writeVarint() and sizeVarint() agree on numbers beyond 2^53", () => {
  for (const n of [2 ** 54, 2 ** 56, 2 ** 62]) {
    assert.deepEqual(
      written((out, at) => writeVarint(out, at, n)),
      varint(BigInt(n)),
    );
    assert.equal(sizeVarint(n), varint(BigInt(n)).length);
  }
});

Deno.test("writeInt64() and sizeInt64() write negative numbers as ten bytes", () => {
  for (const n of EDGES.filter((edge) => edge < 2n ** 53n)) {
    assert.deepEqual(
      written((out, at) => writeInt64(out, at, Number(-n))),
      varint(-n),
      String(-n),
    );
    assert.equal(sizeInt64(Number(-n)), varint(-n).length, String(-n));
  }
});

Deno.test("writeId() and sizeId() take all 64 bits, signed or not", () => {
  for (const n of [...EDGES, ...EDGES.map((edge) => -edge)]) {
    assert.deepEqual(
      written((out, at) => writeId(out, at, n)),
      varint(n),
      String(n),
    );
    assert.equal(sizeId(n), varint(n).length, String(n));
  }
});

Deno.test("Reader reads every edge as each type", () => {
  for (const edge of [...EDGES, ...EDGES.map((edge) => -edge)]) {
    const bytes = varint(edge);
    const unsigned = BigInt.asUintN(64, edge);
    const signed = BigInt.asIntN(64, edge);
    const max = BigInt(Number.MAX_SAFE_INTEGER);
    const clamp = (n: bigint) => Number(n > max ? max : n < -max ? -max : n);
    assert.equal(reader(bytes).uint64(), clamp(unsigned), String(edge));
    assert.equal(reader(bytes).int64(), clamp(signed), String(edge));
    assert.equal(
      reader(bytes).int32(),
      Number(BigInt.asIntN(32, edge)),
      String(edge),
    );
    assert.equal(
      reader(bytes).uint32(),
      Number(BigInt.asUintN(32, edge)),
      String(edge),
    );
    assert.equal(reader(bytes).uint64Id(), unsigned, String(edge));
    assert.equal(reader(bytes).int64Id(), signed, String(edge));
    assert.equal(reader(bytes).bool(), unsigned !== 0n, String(edge));
  }
});

Deno.test("Reader.stop() takes a length up to the end and none beyond", () => {
  assert.equal(reader([2, 0, 0]).stop(), 3);
  assert.throws(() => reader([3, 0, 0]).stop(), { name: "WireError" });
  assert.throws(() => reader(varint(2n ** 64n - 1n)).stop(), {
    name: "WireError",
  });
});

Deno.test("Reader.tag() takes 29 bits of field number and no more", () => {
  assert.equal(reader(varint(2n ** 32n - 1n)).tag(), 2 ** 32 - 1);
  assert.throws(() => reader(varint(2n ** 32n)).tag(), { name: "WireError" });
});

Deno.test("Reader.enter() and leave() narrow and widen", () => {
  const r = reader([2, 0x08, 0x01, 0x05]);
  const outer = r.enter();
  assert.deepEqual([r.pos, r.end], [1, 3]);
  r.pos = r.end;
  r.leave(outer);
  assert.equal(r.int64(), 5);
  assert.equal(r.pos, r.end);
});

Deno.test("writeBytes() copies short and long runs alike", () => {
  for (const length of [0, 1, 15, 16, 17, 60]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i + 1);
    assert.deepEqual(written((out, at) => writeBytes(out, at, bytes)), [
      length,
      ...bytes,
    ]);
    assert.equal(sizeDelimited(length), length + 1);
  }
  assert.equal(sizeDelimited(127), 128);
  assert.equal(sizeDelimited(128), 130);
});

Deno.test("writeString() and utf8Length() agree with TextEncoder", () => {
  for (
    const text of [
      "",
      "a",
      "\u007f\u0080",
      "\u07ff\u0800",
      "\ud7ff\ue000\uffff",
      "😀é中",
      "\ud800",
      "a\udc00b",
      "\ud800\ud800\udc00",
    ]
  ) {
    const utf8 = new TextEncoder().encode(text);
    assert.equal(utf8Length(text), utf8.length, JSON.stringify(text));
    assert.deepEqual(written((out, at) => writeString(out, at, text)), [
      utf8.length,
      ...utf8,
    ]);
  }
});

Deno.test("mergeRaw() joins", () => {
  const one = Uint8Array.of(1);
  const two = Uint8Array.of(2);
  assert.equal(mergeRaw(undefined, one), one);
  assert.equal(mergeRaw(new Uint8Array(0), one), one);
  assert.deepEqual(mergeRaw(one, two), Uint8Array.of(1, 2));
});
