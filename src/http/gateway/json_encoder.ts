import { Buffer } from "node:buffer";
import { assert } from "../../base/assert.ts";
import {
  sizeId,
  sizeInt64,
  utf8Length,
  writeId,
  writeInt64,
} from "../../pb/wire.ts";
import { checkStrings } from "./json_strings.ts";
import { endOfValue, JsonError, positionOf, skipSpace } from "./json_syntax.ts";
import type { Field, MessageType } from "./message_type.ts";
import { WireBuffer } from "./wire_buffer.ts";

/**
 * Turns the first JSON value in `text` into the wire form of a message, as Go's protojson does with
 * `DiscardUnknown`: names of the .proto file or in camel case, numbers or strings for integers, either base64 for bytes,
 * names or numbers for enums; null is unset, and unknown fields and enum names are passed over. No value at
 * all is the empty message. What is behind the value is not looked at. Throws `JsonError`.
 */
export function encodeJson(type: MessageType, text: string): Uint8Array {
  const start = skipSpace(text, 0);
  if (start === text.length) return new Uint8Array(0);
  const end = endOfValue(text, start);
  checkStrings(text, start, end);
  const encoder = new JsonEncoder(text.slice(start, end));
  encoder.message(type);
  return encoder.out.toBytes();
}

const INTEGER_TEXT = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
const JSON_INTEGER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const DELIMITERS = /[,\]} \t\r\n]/g;
/** No integer of 64 bits has more digits; a larger exponent is not worked out. */
const MAX_DIGITS = 20;

/** Smallest and largest value of each kind of integer. */
const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** A cursor over JSON that is known to be well-formed. */
class JsonEncoder {
  readonly out = new WireBuffer();
  #at = 0;

  constructor(readonly text: string) {}

  message(type: MessageType): void {
    this.#open("{");
    const seen = new Set<number>();
    const oneofs = new Set<string>();
    while (this.#hasNext("}")) {
      const nameAt = this.#at;
      const name = this.#string();
      this.#at = this.#space(this.#at) + 1; // the colon
      this.#at = this.#space(this.#at);
      const field = type.byName.get(name);
      if (field === undefined) {
        this.#at = endOfValue(this.text, this.#at);
        continue;
      }
      if (seen.has(field.number)) {
        throw this.#error(nameAt, `duplicate field ${this.#token(nameAt)}`);
      }
      seen.add(field.number);
      if (this.text.startsWith("null", this.#at)) {
        this.#at += 4;
      } else if (field.isRepeated) {
        this.#list(field);
      } else {
        const { oneof } = field;
        if (oneof !== undefined && oneofs.has(oneof)) {
          throw this.#error(
            nameAt,
            `error parsing ${
              this.#token(nameAt)
            }, oneof ${oneof} is already set`,
          );
        }
        if (oneof !== undefined) oneofs.add(oneof);
        this.#value(field);
      }
    }
  }

  #list(field: Field): void {
    this.#open("[");
    while (this.#hasNext("]")) this.#value(field);
  }

  #value(field: Field): void {
    if (field.kind === "message") {
      assert(field.message !== undefined, "a message field has a type");
      this.#tag(field);
      const nested = this.out.begin();
      this.message(field.message);
      this.out.end(nested);
      return;
    }
    const at = this.#at;
    const end = this.#scalarEnd(at);
    if (this.text[at] === "{" || this.text[at] === "[") {
      throw this.#error(at, invalid(field, this.text[at]!));
    }
    const raw = this.text.slice(at, end);
    this.#at = end;
    const bytes = scalarBytes(field, raw);
    if (bytes === undefined) throw this.#error(at, invalid(field, raw));
    if (bytes === UNKNOWN_NAME) return;
    this.#tag(field);
    if (field.kind === "string" || field.kind === "bytes") {
      this.out.addVarint(bytes.length);
    }
    this.out.add(bytes);
  }

  #tag(field: Field): void {
    this.out.addVarint(field.number * 8 + field.wireType);
  }

  /** Passes what opens an object or a list, or says that something else stands there. */
  #open(c: string): void {
    if (this.text[this.#at] !== c) {
      const { line, column } = positionOf(this.text, this.#at);
      throw new JsonError(
        `proto: syntax error (line ${line}:${column}): unexpected token ${
          this.#token(this.#at)
        }`,
      );
    }
    this.#at++;
  }

  /** Passes a comma, or the end `c`; false: that was the end. */
  #hasNext(c: string): boolean {
    this.#at = this.#space(this.#at);
    if (this.text[this.#at] === c) {
      this.#at++;
      return false;
    }
    if (this.text[this.#at] === ",") this.#at = this.#space(this.#at + 1);
    return true;
  }

  #string(): string {
    const end = endOfValue(this.text, this.#at);
    const value = JSON.parse(this.text.slice(this.#at, end)) as string;
    this.#at = end;
    return value;
  }

  #space(at: number): number {
    return skipSpace(this.text, at);
  }

  /** Where the scalar at `at` ends. */
  #scalarEnd(at: number): number {
    if (this.text[at] === '"') return endOfValue(this.text, at);
    DELIMITERS.lastIndex = at;
    return DELIMITERS.exec(this.text)?.index ?? this.text.length;
  }

  /** What is shown of the token at `at`. */
  #token(at: number): string {
    const c = this.text[at]!;
    return c === "{" || c === "["
      ? c
      : this.text.slice(at, this.#scalarEnd(at));
  }

  #error(at: number, what: string): JsonError {
    const { line, column } = positionOf(this.text, at);
    return new JsonError(`proto: (line ${line}:${column}): ${what}`);
  }
}

function invalid({ kind, jsonName }: Field, raw: string): string {
  return `invalid value for ${kind} field ${jsonName}: ${raw}`;
}

/** An enum's name that is not known. */
const UNKNOWN_NAME = new Uint8Array(0);
const ENCODER = new TextEncoder();

/** The value of a token, encoded, without a length in front; undefined if it does not fit. */
function scalarBytes(field: Field, raw: string): Uint8Array | undefined {
  const isString = raw.startsWith('"');
  switch (field.kind) {
    case "bool":
      if (raw === "true") return int64Bytes(1);
      return raw === "false" ? int64Bytes(0) : undefined;
    case "string": {
      const value = isString ? JSON.parse(raw) as string : undefined;
      if (value === undefined) return undefined;
      const bytes = new Uint8Array(utf8Length(value));
      ENCODER.encodeInto(value, bytes);
      return bytes;
    }
    case "bytes":
      return isString ? base64Bytes(JSON.parse(raw) as string) : undefined;
    case "enum": {
      if (!isString) return integerBytes(field.kind, raw);
      const value = field.enum?.numbers.get(JSON.parse(raw) as string);
      return value === undefined ? UNKNOWN_NAME : int64Bytes(value);
    }
    default:
      return integerBytes(
        field.kind,
        isString ? JSON.parse(raw) as string : raw,
      );
  }
}

function integerBytes(kind: string, text: string): Uint8Array | undefined {
  const value = JSON_INTEGER.test(text) ? integerOf(text) : undefined;
  const [min, max] = RANGES[kind]!;
  if (value === undefined || value < min || value > max) return undefined;
  if (kind === "uint32" || kind === "int32" || kind === "enum") {
    return int64Bytes(Number(value));
  }
  const bytes = new Uint8Array(sizeId(value));
  writeId(bytes, 0, value);
  return bytes;
}

function int64Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(sizeInt64(value));
  writeInt64(bytes, 0, value);
  return bytes;
}

/** A JSON number that is an integer, however it is written (`1.5e1`); undefined if it is none, or far too long. */
function integerOf(text: string): bigint | undefined {
  const [, sign, whole = "", fraction = "", exponent = "0"] =
    INTEGER_TEXT.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return 0n;
  const significant = digits.replace(/0+$/, "");
  const shift = Number(exponent) - fraction.length + digits.length -
    significant.length;
  if (shift < 0 || significant.length + shift > MAX_DIGITS) return undefined;
  const value = BigInt(significant) * 10n ** BigInt(shift);
  return sign === "-" ? -value : value;
}

/** Standard or URL alphabet, padded or not; line breaks are passed over, as in Go. */
function base64Bytes(text: string): Uint8Array | undefined {
  const isPadded = text.length % 4 === 0;
  const isUrl = /[-_]/.test(text);
  const letters = text.replace(/[\r\n]+/g, "");
  const pattern = isUrl
    ? /^[A-Za-z0-9_-]*(={0,2})$/
    : /^[A-Za-z0-9+/]*(={0,2})$/;
  const padding = pattern.exec(letters)?.[1];
  if (padding === undefined || (!isPadded && padding !== "")) return undefined;
  if (isPadded ? letters.length % 4 !== 0 : letters.length % 4 === 1) {
    return undefined;
  }
  return new Uint8Array(Buffer.from(letters, "base64"));
}
