import assert from "node:assert/strict";
import { concatBytes, EMPTY, utf8 } from "../../src/base/bytes.ts";
import { type Codec, WireError } from "../../src/pb/wire.ts";
import type { Random } from "../support/random.ts";
import { type FuzzTarget, mutate, randomBytes } from "./target.ts";

/** Cases of one run: a codec each. */
const CASES = 40;
/** Messages inside messages, at random. */
const MAX_DEPTH = 6;

/** Of every generated message. */
export const CODECS: readonly Codec<unknown>[] = await generatedCodecs();

/**
 * The decoder of every generated message: of any bytes it makes a message or a `WireError`; what it has made is
 * encoded in as many bytes as it said, and decodes to the same again.
 */
export const PROTOBUF: FuzzTarget = {
  name: "protobuf",
  run(random) {
    for (let i = 0; i < CASES; i++) check(random.pick(CODECS), random);
  },
};

function check(codec: Codec<unknown>, random: Random): void {
  let bytes = random.oneIn(10)
    ? randomBytes(random, 200)
    : randomMessage(random, MAX_DEPTH);
  if (random.oneIn(3)) bytes = mutate(random, bytes);
  const message = decode(codec, bytes);
  // Within a larger array it is the same: what lies around it is not looked at.
  const edge = randomBytes(random, 20);
  const inside = concatBytes(edge, bytes, edge);
  const end = edge.length + bytes.length;
  assert.deepEqual(decode(codec, inside, edge.length, end), message);
  if (message === undefined) return;
  const encoded = encode(codec, message);
  const again = decode(codec, encoded);
  assert.deepEqual(again, message, `${codec.name}: another message`);
  assert.deepEqual(encode(codec, again), encoded, `${codec.name}: other bytes`);
}

/** Undefined: it is not a message of this type. */
export function decode(
  codec: Codec<unknown>,
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): unknown {
  try {
    return codec.decode(bytes, start, end);
  } catch (error) {
    assert.ok(error instanceof WireError, `${codec.name}: ${error}`);
    return undefined;
  }
}

export function encode(codec: Codec<unknown>, message: unknown): Uint8Array {
  const size = codec.size(message);
  const bytes = new Uint8Array(size + 1);
  assert.equal(codec.write(message, bytes, 0), size, `${codec.name}: size`);
  assert.equal(bytes[size], 0, `${codec.name}: wrote too much`);
  return bytes.subarray(0, size);
}

/** A message: fields with the numbers and wire types that our messages have; which, chance decides. */
export function randomMessage(random: Random, depth: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = random.int(6); i > 0; i--) {
    const field = 1 + random.int(random.oneIn(20) ? 40 : 13);
    const type = random.pick([0, 0, 2, 2, 2, random.int(8)]);
    parts.push(varint(BigInt(field << 3 | type)));
    if (type === 0) parts.push(varint(randomInteger(random)));
    else if (type === 1) parts.push(bytesOf(random, 8));
    else if (type === 5) parts.push(bytesOf(random, 4));
    else if (type === 2) {
      const inner = randomDelimited(random, depth);
      parts.push(varint(BigInt(inner.length)), inner);
    }
  }
  return concatBytes(...parts);
}

function randomDelimited(random: Random, depth: number): Uint8Array {
  if (random.oneIn(4)) return EMPTY;
  if (random.oneIn(3)) return utf8(random.pick(["a", "ключ", "\0", "🔑🔑"]));
  if (random.oneIn(3) || depth === 0) return randomBytes(random, 30);
  return randomMessage(random, depth - 1);
}

/** The edges of the integers there are, and anything. */
function randomInteger(random: Random): bigint {
  const bits = BigInt(random.pick([0, 1, 7, 14, 28, 31, 32, 35, 53, 63, 64]));
  const edge = (1n << bits) + BigInt(random.int(3) - 1);
  const value = random.oneIn(4)
    ? BigInt(random.int(2 ** 32)) * BigInt(random.int(2 ** 32))
    : edge;
  return BigInt.asUintN(64, random.oneIn(5) ? -value : value);
}

function varint(value: bigint): Uint8Array {
  const out: number[] = [];
  for (; value >= 0x80n; value >>= 7n) out.push(Number(value & 0x7fn) | 0x80);
  out.push(Number(value));
  return Uint8Array.from(out);
}

function bytesOf(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.int(256));
}

/** All that the generated modules export. */
async function generatedCodecs(): Promise<Codec<unknown>[]> {
  const folder = new URL("../../src/pb/", import.meta.url);
  const codecs: Codec<unknown>[] = [];
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".ts")) continue;
    const module: Record<string, unknown> = await import(`${folder}${name}`);
    for (const [key, value] of Object.entries(module)) {
      if (key.endsWith("Codec")) codecs.push(value as Codec<unknown>);
    }
  }
  codecs.sort((a, b) => a.name < b.name ? -1 : 1);
  assert.ok(codecs.length > 100, "the generated messages are there");
  return codecs;
}
