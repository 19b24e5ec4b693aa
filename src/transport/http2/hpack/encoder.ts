import { DEFAULT_HEADER_TABLE_SIZE } from "../frame.ts";
import type { HeaderBlock } from "../header_block.ts";
import { DynamicTable } from "./dynamic_table.ts";
import { FieldEncoder, Literal } from "./field_encoder.ts";
import { appendInteger } from "./integer.ts";

/** Blocks whose encoding is remembered. A server's constant ones are few: two or three for gRPC, some errors. */
const REMEMBERED_BLOCKS = 16;
/** The epoch of a block that was seen but not encoded for good. */
const NEVER = -1;

interface Remembered {
  block: HeaderBlock;
  /** Valid while `epoch` is the encoder's. */
  bytes: Uint8Array;
  epoch: number;
  /** Used since the replacement hand last came by. */
  wasUsed: boolean;
}

/**
 * Encodes response header blocks for one connection. Must be called in the order in which the blocks are sent.
 *
 * A block that comes back is worth a place in the dynamic table, one that does not (an error's message) is not:
 *
 *   1st use   literals as `HeaderBlock.literalBytes` holds them, the table is left alone
 *   2nd use   its fields enter the table, as long as they fit without evicting others
 *   later     one to three bytes, copied from here while the table stays as it is
 *
 * Nothing is ever evicted, so the table settles, and with it everything remembered.
 */
export class Encoder {
  #fields = new FieldEncoder(new DynamicTable(DEFAULT_HEADER_TABLE_SIZE), {
    huffman: true,
  });
  #remembered: Remembered[] = [];
  #hand = 0;
  #epoch = 0;
  /** The smallest table size asked for since the last block, and the last one; undefined: none (§4.2). */
  #smallestSize: number | undefined = undefined;

  /** The bytes of `block`; they stay valid and unchanged. */
  encode(block: HeaderBlock): Uint8Array {
    const remembered = this.#remembered;
    for (let i = 0; i < remembered.length; i++) {
      const r = remembered[i]!;
      if (r.block === block) {
        r.wasUsed = true;
        return r.epoch === this.#epoch ? r.bytes : this.#index(r);
      }
    }
    this.#remember(block);
    if (this.#smallestSize === undefined) return block.literalBytes;
    const out = this.#sizeUpdate();
    for (const byte of block.literalBytes) out.push(byte);
    return Uint8Array.from(out);
  }

  /**
   * The peer's SETTINGS_HEADER_TABLE_SIZE. We never use more than the default of 4 KiB, which holds all that a
   * server repeats.
   */
  limitTable(peerBytes: number): void {
    const size = Math.min(peerBytes, DEFAULT_HEADER_TABLE_SIZE);
    const table = this.#fields.table;
    if (size === table.maxBytes && this.#smallestSize === undefined) return;
    this.#smallestSize = Math.min(this.#smallestSize ?? size, size);
    table.resize(size);
    this.#epoch++;
  }

  /** Encodes with what the table holds, and puts into it what is missing. */
  #index(r: Remembered): Uint8Array {
    const table = this.#fields.table;
    const out = this.#smallestSize === undefined ? [] : this.#sizeUpdate();
    const before = table.version;
    const hadUpdate = out.length > 0;
    const { fields } = r.block;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i]!;
      const value = fields[i + 1]!;
      const fits = table.hasRoomFor(name, value);
      this.#fields.append(
        out,
        name,
        value,
        fits ? Literal.Indexing : Literal.WithoutIndexing,
      );
    }
    const bytes = Uint8Array.from(out);
    if (table.version !== before) this.#epoch++;
    else if (!hadUpdate) {
      r.bytes = bytes;
      r.epoch = this.#epoch;
    }
    return bytes;
  }

  #sizeUpdate(): number[] {
    const out: number[] = [];
    const size = this.#fields.table.maxBytes;
    if (this.#smallestSize! < size) {
      appendInteger(out, 5, 0x20, this.#smallestSize!);
    }
    appendInteger(out, 5, 0x20, size);
    this.#smallestSize = undefined;
    return out;
  }

  /** Takes the place of a block that was not used for a while. */
  #remember(block: HeaderBlock): void {
    const r = {
      block,
      bytes: block.literalBytes,
      epoch: NEVER,
      wasUsed: false,
    };
    const remembered = this.#remembered;
    if (remembered.length < REMEMBERED_BLOCKS) {
      remembered.push(r);
      return;
    }
    while (remembered[this.#hand]!.wasUsed) {
      remembered[this.#hand]!.wasUsed = false;
      this.#hand = (this.#hand + 1) % REMEMBERED_BLOCKS;
    }
    remembered[this.#hand] = r;
    this.#hand = (this.#hand + 1) % REMEMBERED_BLOCKS;
  }
}
