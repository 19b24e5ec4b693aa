import assert from "node:assert/strict";
import { concatBytes } from "../../src/base/bytes.ts";
import { ConnectionError } from "../../src/transport/http2/errors.ts";
import { ErrorCode } from "../../src/transport/http2/frame.ts";
import { HeaderBlock } from "../../src/transport/http2/header_block.ts";
import { Decoder } from "../../src/transport/http2/hpack/decoder.ts";
import { DynamicTable } from "../../src/transport/http2/hpack/dynamic_table.ts";
import { Encoder } from "../../src/transport/http2/hpack/encoder.ts";
import {
  FieldEncoder,
  Literal,
} from "../../src/transport/http2/hpack/field_encoder.ts";
import { appendInteger } from "../../src/transport/http2/hpack/integer.ts";
import { STATIC_TABLE } from "../../src/transport/http2/hpack/static_table.ts";
import type { Random } from "../support/random.ts";
import { type FuzzTarget, mutate, randomBytes } from "./target.ts";

const TABLE_BYTES = 4096;
const BLOCKS = 20;
/** A block of one-byte indexes into the largest entry: what the decoder may make of a byte. */
const MAX_GROWTH = TABLE_BYTES;

/**
 * HPACK: what either encoder writes, the decoder reads back, over many blocks and changes of the table's size. Of
 * garbage it makes a COMPRESSION_ERROR, or fields that are no larger than the garbage and the table allow.
 */
export const HPACK: FuzzTarget = {
  name: "hpack",
  run(random) {
    roundTripOfFields(random);
    roundTripOfBlocks(random);
    garbage(random);
  },
};

/** A client's encoder against our decoder. */
function roundTripOfFields(random: Random): void {
  const table = new DynamicTable(TABLE_BYTES);
  const encoder = new FieldEncoder(table, { huffman: !random.oneIn(3) });
  const decoder = new Decoder(TABLE_BYTES);
  for (let i = 0; i < BLOCKS; i++) {
    const out: number[] = [];
    if (random.oneIn(5)) {
      const size = random.int(TABLE_BYTES + 1);
      table.resize(size);
      appendInteger(out, 5, 0x20, size);
    }
    const fields = randomFields(random);
    for (let at = 0; at < fields.length; at += 2) {
      const literal = random.pick(Object.values(Literal));
      encoder.append(out, fields[at]!, fields[at + 1]!, literal);
    }
    assert.deepEqual(decoded(decoder, Uint8Array.from(out)), fields);
  }
}

/** Our encoder against a client's decoder. */
function roundTripOfBlocks(random: Random): void {
  const encoder = new Encoder();
  const decoder = new Decoder(TABLE_BYTES);
  const blocks = Array.from(
    { length: 1 + random.int(24) },
    () => new HeaderBlock(randomFields(random)),
  );
  for (let i = 0; i < 3 * BLOCKS; i++) {
    if (random.oneIn(8)) {
      const size = random.pick([0, 100, 1000, TABLE_BYTES, 1 << 20]);
      encoder.limitTable(size);
      decoder.limitTable(Math.min(size, TABLE_BYTES));
    }
    const block = random.pick(blocks);
    assert.deepEqual(decoded(decoder, encoder.encode(block)), block.fields);
  }
}

function garbage(random: Random): void {
  const table = new DynamicTable(TABLE_BYTES);
  const encoder = new FieldEncoder(table, { huffman: !random.oneIn(3) });
  const decoder = new Decoder(TABLE_BYTES);
  for (let i = 0; i < BLOCKS; i++) {
    const out: number[] = [];
    const fields = randomFields(random);
    for (let at = 0; at < fields.length; at += 2) {
      encoder.append(out, fields[at]!, fields[at + 1]!, Literal.Indexing);
    }
    const block = random.oneIn(3)
      ? randomBytes(random, 300)
      : random.oneIn(2)
      ? Uint8Array.from(out)
      : mutate(random, Uint8Array.from(out));
    // Its end is not the array's: what lies behind must not be looked at.
    const padded = concatBytes(Uint8Array.of(0x82), block, Uint8Array.of(0x82));
    let chars = 0;
    try {
      decoder.decode(padded, 1, 1 + block.length, {
        field: (name, value) => chars += name.length + value.length,
      });
    } catch (error) {
      assert.ok(error instanceof ConnectionError, String(error));
      assert.equal(error.code, ErrorCode.CompressionError);
      return;
    }
    assert.ok(chars <= MAX_GROWTH * block.length);
  }
}

/** name, value, name, value…: some that are in the static table, some that come again, some that are large. */
function randomFields(random: Random): string[] {
  const fields: string[] = [];
  for (let i = random.int(8); i > 0; i--) {
    if (random.oneIn(3)) {
      const at = 2 * random.int(STATIC_TABLE.length / 2);
      fields.push(STATIC_TABLE[at]!, STATIC_TABLE[at + 1]!);
    } else {
      const name = random.oneIn(2) ? `x-${random.int(6)}` : latin1(random, 20);
      fields.push(name, latin1(random, random.oneIn(20) ? 5_000 : 40));
    }
  }
  return fields;
}

function latin1(random: Random, maxChars: number): string {
  return String.fromCharCode(...randomBytes(random, maxChars));
}

function decoded(decoder: Decoder, block: Uint8Array): string[] {
  const fields: string[] = [];
  decoder.decode(block, 0, block.length, {
    field: (name, value) => fields.push(name, value),
  });
  return fields;
}
