import { assert } from "../../base/assert.ts";
import { DynamicTable } from "./hpack/dynamic_table.ts";
import { FieldEncoder, Literal } from "./hpack/field_encoder.ts";

/**
 * The fields of a response's header or trailer section. Immutable. A section that is sent often should be one
 * object, made once: connections encode an object that they know in a few nanoseconds (see `Encoder`).
 */
export class HeaderBlock {
  /** name, value, name, value…, `:status` first where present; names in lower case, values latin1. */
  readonly fields: readonly string[];
  /** The encoding that needs no dynamic table and is therefore the same for all connections. */
  readonly literalBytes: Uint8Array;

  constructor(fields: readonly string[]) {
    assert(fields.length % 2 === 0, "header block has a name without a value");
    for (let i = 0; i < fields.length; i++) {
      assert(isLatin1(fields[i]!), "header block is not latin1");
    }
    this.fields = Object.freeze([...fields]);
    const encoder = new FieldEncoder(new DynamicTable(0), { huffman: true });
    const out: number[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      encoder.append(out, fields[i]!, fields[i + 1]!, Literal.WithoutIndexing);
    }
    this.literalBytes = Uint8Array.from(out);
  }
}

function isLatin1(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0xff) return false;
  }
  return true;
}
