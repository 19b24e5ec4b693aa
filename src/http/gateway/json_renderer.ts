import { Buffer } from "node:buffer";
import { assert } from "../../base/assert.ts";
import { Reader, WireError } from "../../pb/wire.ts";
import { DELIMITED, type Field, type MessageType } from "./message_type.ts";

/** A piece is at least this long, unless it is the last; the bytes of one field are never divided. */
const PIECE_CHARS = 64 << 10;

/** A message whose fields are being written. */
interface Open {
  readonly type: MessageType;
  /** What `Reader.leave` wants. */
  readonly outerEnd: number;
  /** The repeated field whose list is open. */
  list: Field | undefined;
  isEmpty: boolean;
}

/**
 * Renders an encoded message as JSON, as Go's protojson does with `UseProtoNames`: the .proto file's names, 64-bit
 * integers as strings, bytes in base64, enums as names (numbers if unknown), nothing for zero outside of a oneof.
 * There are no spaces.
 *
 * Piece by piece, so that a long answer need not be there as a whole: how deep messages are nested costs no stack.
 * Relies on what encoders do: the values of a repeated field stand together, a singular field stands there once.
 */
export class JsonRenderer {
  readonly #reader: Reader;
  readonly #open: Open[];
  #isBegun = false;

  constructor(type: MessageType, bytes: Uint8Array) {
    this.#reader = new Reader(bytes, 0, bytes.length);
    this.#open = [newOpen(type, bytes.length)];
  }

  /** The next piece; undefined behind the last. Throws `WireError`. */
  next(): string | undefined {
    if (this.#open.length === 0) return undefined;
    let piece = "";
    if (!this.#isBegun) {
      this.#isBegun = true;
      piece = "{";
    }
    while (piece.length < PIECE_CHARS) {
      const open = this.#open.at(-1);
      if (open === undefined) break;
      piece += this.#reader.pos < this.#reader.end
        ? this.#field(open)
        : this.#close(open);
    }
    return piece;
  }

  /** All pieces that are left, in one. */
  rest(): string {
    let text = "";
    for (let piece = this.next(); piece !== undefined; piece = this.next()) {
      text += piece;
    }
    return text;
  }

  #close(open: Open): string {
    this.#open.pop();
    if (this.#open.length > 0) this.#reader.leave(open.outerEnd);
    return open.list === undefined ? "}" : "]}";
  }

  #field(open: Open): string {
    const reader = this.#reader;
    const tag = reader.tag();
    const field = open.type.byNumber.get(tag >>> 3);
    const wireType = tag & 7;
    if (field === undefined) {
      reader.skip(tag);
      return "";
    }
    if (wireType !== field.wireType) {
      if (wireType === DELIMITED && field.isRepeated) {
        return this.#packed(open, field);
      }
      throw new WireError("field has an unexpected wire type");
    }
    if (field.kind === "message") {
      assert(field.message !== undefined, "a message field has a type");
      const lead = leadOf(open, field);
      const outerEnd = reader.enter();
      this.#open.push(newOpen(field.message, outerEnd));
      return lead + "{";
    }
    const value = readScalar(reader, field);
    if (value === undefined) return "";
    return leadOf(open, field) + value;
  }

  /** Numbers of a repeated field in one delimited run. */
  #packed(open: Open, field: Field): string {
    const reader = this.#reader;
    const outerEnd = reader.enter();
    let text = "";
    while (reader.pos < reader.end) {
      text += leadOf(open, field) + readScalar(reader, field);
    }
    reader.leave(outerEnd);
    return text;
  }
}

/** The whole message at once. */
export function renderJson(type: MessageType, bytes: Uint8Array): string {
  return new JsonRenderer(type, bytes).rest();
}

function newOpen(type: MessageType, outerEnd: number): Open {
  return { type, outerEnd, list: undefined, isEmpty: true };
}

/** What stands between the value before and the next one. */
function leadOf(open: Open, field: Field): string {
  if (field.isRepeated && open.list === field) return ",";
  let lead = open.list === undefined ? "" : "]";
  if (!open.isEmpty) lead += ",";
  open.isEmpty = false;
  open.list = field.isRepeated ? field : undefined;
  lead += `"${field.name}":`;
  return field.isRepeated ? lead + "[" : lead;
}

/** Undefined for a zero that is left out. */
function readScalar(reader: Reader, field: Field): string | undefined {
  const isKept = field.isRepeated || field.oneof !== undefined;
  switch (field.kind) {
    case "string": {
      const text = reader.string();
      return text !== "" || isKept ? JSON.stringify(text) : undefined;
    }
    case "bytes": {
      const { buffer, byteOffset, length } = reader.bytes();
      if (length === 0 && !isKept) return undefined;
      return `"${Buffer.from(buffer, byteOffset, length).toString("base64")}"`;
    }
    case "bool": {
      const value = reader.bool();
      return value || isKept ? String(value) : undefined;
    }
    case "enum": {
      const value = reader.int32();
      if (value === 0 && !isKept) return undefined;
      const name = field.enum?.names.get(value);
      return name === undefined ? String(value) : `"${name}"`;
    }
    case "int32":
    case "uint32": {
      const value = field.kind === "int32" ? reader.int32() : reader.uint32();
      return value !== 0 || isKept ? String(value) : undefined;
    }
    case "int64": {
      const value = reader.int64Id();
      return value !== 0n || isKept ? `"${value}"` : undefined;
    }
    case "uint64": {
      const value = reader.uint64Id();
      return value !== 0n || isKept ? `"${value}"` : undefined;
    }
    case "message":
      assert(false, "a message is not a scalar");
  }
}
