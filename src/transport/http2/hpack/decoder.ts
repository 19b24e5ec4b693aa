import { ConnectionError } from "../errors.ts";
import { classifyField } from "../field_kind.ts";
import { ErrorCode } from "../frame.ts";
import { DynamicTable } from "./dynamic_table.ts";
import { huffmanDecode, maxDecodedBytes } from "./huffman.ts";
import { type BlockCursor, readInteger, truncated } from "./integer.ts";
import { STATIC_ENTRIES, STATIC_TABLE } from "./static_table.ts";

/** Takes the fields of a block in order. */
export interface FieldSink {
  /** `kind` is what `classifyField` says of the field. Strings are latin1. */
  field(name: string, value: string, kind: number): void;
}

/** Scratch bytes kept between blocks for Huffman strings; a longer string gets its own. */
const SCRATCH_BYTES = 1024;
/** Characters per call of `String.fromCharCode`, whose arguments go on the stack. */
const CHARS_PER_CALL = 4096;

/** Table size updates at the beginning of a block: the smallest size since the last one, and the last (§4.2). */
const MAX_UPDATES = 2;

const STATIC_KINDS = new Uint8Array(STATIC_ENTRIES);
for (let i = 0; i < STATIC_ENTRIES; i++) {
  STATIC_KINDS[i] = classifyField(
    STATIC_TABLE[2 * i]!,
    STATIC_TABLE[2 * i + 1]!,
  );
}

/**
 * Decodes header blocks (RFC 7541). Every error is a `ConnectionError`, because the table cannot be trusted
 * afterwards. Blocks must be decoded whole and in the order of their arrival.
 */
export class Decoder implements BlockCursor {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  readonly #table: DynamicTable;
  /** What we announced, and the peer has acknowledged. */
  #maxTableBytes: number;
  /** The limit was lowered below the table's size: the next block must start with an update (§4.2). */
  #mustUpdate = false;
  #scratch = new Uint8Array(SCRATCH_BYTES);

  constructor(maxTableBytes: number) {
    this.#maxTableBytes = maxTableBytes;
    this.#table = new DynamicTable(maxTableBytes);
  }

  /** Changes whenever bytes of a block may mean something else than before. */
  get tableVersion(): number {
    return this.#table.version;
  }

  /** The peer has acknowledged another SETTINGS_HEADER_TABLE_SIZE. */
  limitTable(maxTableBytes: number): void {
    this.#maxTableBytes = maxTableBytes;
    this.#mustUpdate = this.#table.maxBytes > maxTableBytes;
  }

  /** Hands the fields of the block bytes[start, end) to `sink`. */
  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: FieldSink,
  ): void {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    let updatesLeft = MAX_UPDATES;
    while (this.at < end) {
      const first = bytes[this.at]!;
      if (first >= 0x20 && first < 0x40) {
        if (updatesLeft-- <= 0) {
          throw compression("table size update out of place");
        }
        this.#updateSize();
        continue;
      }
      if (this.#mustUpdate) throw compression("table size update is missing");
      updatesLeft = 0;
      if (first >= 0x80) this.#indexed(sink);
      else if (first >= 0x40) this.#literal(6, true, sink);
      else this.#literal(4, false, sink);
    }
    this.bytes = this.#scratch;
  }

  #indexed(sink: FieldSink): void {
    const index = readInteger(this, 7);
    if (index === 0) throw compression("index 0");
    if (index <= STATIC_ENTRIES) {
      const i = index - 1;
      sink.field(
        STATIC_TABLE[2 * i]!,
        STATIC_TABLE[2 * i + 1]!,
        STATIC_KINDS[i]!,
      );
      return;
    }
    const entry = this.#table.at(index - STATIC_ENTRIES - 1);
    if (entry === undefined) throw compression("index beyond the tables");
    sink.field(entry.name, entry.value, entry.kind);
  }

  #literal(prefixBits: number, add: boolean, sink: FieldSink): void {
    const index = readInteger(this, prefixBits);
    const name = index === 0 ? this.#string() : this.#nameAt(index);
    const value = this.#string();
    const kind = classifyField(name, value);
    if (add) this.#table.add(name, value, kind);
    sink.field(name, value, kind);
  }

  #nameAt(index: number): string {
    if (index <= STATIC_ENTRIES) return STATIC_TABLE[2 * index - 2]!;
    const entry = this.#table.at(index - STATIC_ENTRIES - 1);
    if (entry === undefined) throw compression("index beyond the tables");
    return entry.name;
  }

  #updateSize(): void {
    const size = readInteger(this, 5);
    if (size > this.#maxTableBytes) {
      throw compression("table size update above the limit");
    }
    this.#mustUpdate = false;
    this.#table.resize(size);
  }

  #string(): string {
    if (this.at >= this.end) throw truncated();
    const isHuffman = this.bytes[this.at]! >= 0x80;
    const length = readInteger(this, 7);
    const start = this.at;
    if (length > this.end - start) throw truncated();
    this.at = start + length;
    if (!isHuffman) return latin1(this.bytes, start, start + length);
    const needed = maxDecodedBytes(length);
    const out = needed <= SCRATCH_BYTES
      ? this.#scratch
      : new Uint8Array(needed);
    const n = huffmanDecode(this.bytes, start, start + length, out);
    if (n < 0) throw compression("invalid Huffman code");
    return latin1(out, 0, n);
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= CHARS_PER_CALL) {
    return String.fromCharCode.apply(
      null,
      bytes.subarray(start, end) as unknown as number[],
    );
  }
  let text = "";
  for (let at = start; at < end; at += CHARS_PER_CALL) {
    text += latin1(bytes, at, Math.min(end, at + CHARS_PER_CALL));
  }
  return text;
}

function compression(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.CompressionError, `HPACK: ${what}`);
}
