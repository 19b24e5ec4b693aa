import type { DynamicTable } from "./dynamic_table.ts";
import { huffmanAppend, huffmanSize } from "./huffman.ts";
import { appendInteger } from "./integer.ts";
import {
  STATIC_ENTRIES,
  staticFieldIndex,
  staticNameIndex,
} from "./static_table.ts";

/** How a field that is in no table is written (RFC 7541 §6.2). */
export const Literal = {
  /** And added to the dynamic table. */
  Indexing: 0,
  WithoutIndexing: 1,
  /** For secrets: nobody on the way may index it either. */
  NeverIndexed: 2,
} as const;
export type Literal = typeof Literal[keyof typeof Literal];

/** Writes fields against a dynamic table (RFC 7541 §6). Strings are Huffman-coded unless that is longer. */
export class FieldEncoder {
  readonly table: DynamicTable;
  readonly #huffman: boolean;

  constructor(table: DynamicTable, options: { huffman: boolean }) {
    this.table = table;
    this.#huffman = options.huffman;
  }

  append(out: number[], name: string, value: string, literal: Literal): void {
    if (literal !== Literal.NeverIndexed) {
      const index = this.#fieldIndex(name, value);
      if (index > 0) return appendInteger(out, 7, 0x80, index);
    }
    const nameIndex = this.#nameIndex(name);
    switch (literal) {
      case Literal.Indexing:
        appendInteger(out, 6, 0x40, nameIndex);
        this.table.add(name, value, 0);
        break;
      case Literal.WithoutIndexing:
        appendInteger(out, 4, 0x00, nameIndex);
        break;
      case Literal.NeverIndexed:
        appendInteger(out, 4, 0x10, nameIndex);
        break;
    }
    if (nameIndex === 0) this.#appendString(out, name);
    this.#appendString(out, value);
  }

  #fieldIndex(name: string, value: string): number {
    const index = staticFieldIndex(name, value);
    return index > 0 ? index : dynamicIndex(this.table.find(name, value));
  }

  #nameIndex(name: string): number {
    const index = staticNameIndex(name);
    return index > 0 ? index : dynamicIndex(this.table.findName(name));
  }

  #appendString(out: number[], text: string): void {
    if (this.#huffman) {
      const size = huffmanSize(text);
      if (size > 0 && size <= text.length) {
        appendInteger(out, 7, 0x80, size);
        return huffmanAppend(out, text);
      }
    }
    appendInteger(out, 7, 0, text.length);
    for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
  }
}

function dynamicIndex(at: number): number {
  return at < 0 ? 0 : STATIC_ENTRIES + 1 + at;
}
