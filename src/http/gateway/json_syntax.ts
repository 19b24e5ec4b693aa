import { utf8 } from "../../base/bytes.ts";

/** A text is not JSON, or not the JSON of the message that is expected. The message is for the client. */
export class JsonError extends Error {
  override name = "JsonError";
}

/**
 * Objects and arrays inside each other. A transaction takes three for each that it is in, and etcd's limit of 128
 * operations bounds that to 384; what the messages allow on the wire is a thousand too.
 */
export const MAX_JSON_DEPTH = 1000;

/** What may follow; the first ones of a list or an object may be its end, too. */
type Expect = "value" | "firstElement" | "firstKey" | "key" | "commaOrEnd";

const OBJECT = true;
// Strings may hold no control characters.
// deno-lint-ignore no-control-regex
const PLAIN_CHARS = /[^"\\\u0000-\u001f]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const HEX4 = /[0-9a-fA-F]{4}/y;
const SPACE = /[ \t\r\n]*/y;

/** Where the white space that begins at `at` ends. */
export function skipSpace(text: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(text);
  return SPACE.lastIndex;
}

/**
 * Checks the syntax (RFC 8259) of the value that begins at `start` and returns where it ends. Throws `JsonError` with the words
 * of Go's encoding/json, which etcd's clients see.
 */
export function endOfValue(text: string, start: number): number {
  /** What is open: `OBJECT` or an array. */
  const open: boolean[] = [];
  let expect: Expect = "value";
  let at = start;
  for (;;) {
    at = skipSpace(text, at);
    const c = text[at];
    if (c === undefined) throw new JsonError("unexpected EOF");
    if (expect === "commaOrEnd") {
      const isObject = open.at(-1) === OBJECT;
      if (c === ",") {
        expect = isObject ? "key" : "value";
        at++;
        continue;
      }
      if (c !== (isObject ? "}" : "]")) {
        throw unexpected(
          c,
          isObject ? "after object key:value pair" : "after array element",
        );
      }
      open.pop();
      at++;
    } else if (expect === "firstKey" && c === "}") {
      open.pop();
      at++;
    } else if (expect === "firstElement" && c === "]") {
      open.pop();
      at++;
    } else if (expect === "firstKey" || expect === "key") {
      if (c !== '"') {
        throw unexpected(c, "looking for beginning of object key string");
      }
      at = skipSpace(text, endOfString(text, at));
      const colon = text[at];
      if (colon === undefined) throw new JsonError("unexpected EOF");
      if (colon !== ":") throw unexpected(colon, "after object key");
      expect = "value";
      at++;
      continue;
    } else if (c === "{" || c === "[") {
      if (open.length === MAX_JSON_DEPTH) {
        throw unexpected(c, "exceeded max depth");
      }
      open.push(c === "{");
      expect = c === "{" ? "firstKey" : "firstElement";
      at++;
      continue;
    } else {
      at = endOfScalar(text, at, c);
    }
    if (open.length === 0) return at;
    expect = "commaOrEnd";
  }
}

function endOfScalar(text: string, at: number, first: string): number {
  switch (first) {
    case '"':
      return endOfString(text, at);
    case "t":
      return endOfLiteral(text, at, "true");
    case "f":
      return endOfLiteral(text, at, "false");
    case "n":
      return endOfLiteral(text, at, "null");
  }
  if (first !== "-" && !isDigit(first)) {
    throw unexpected(first, "looking for beginning of value");
  }
  NUMBER.lastIndex = at;
  if (!NUMBER.test(text)) {
    throw unexpectedAt(text, at + 1, "in numeric literal");
  }
  const end = NUMBER.lastIndex;
  const next = text[end];
  if (next === ".") {
    throw unexpectedAt(text, end + 1, "after decimal point in numeric literal");
  }
  if (next === "e" || next === "E") {
    const sign = text[end + 1];
    const digit = sign === "+" || sign === "-" ? end + 2 : end + 1;
    throw unexpectedAt(text, digit, "in exponent of numeric literal");
  }
  return end;
}

/** `at` is where the opening quote is. Throws `JsonError`. */
export function endOfString(text: string, at: number): number {
  let pos = at + 1;
  for (;;) {
    PLAIN_CHARS.lastIndex = pos;
    PLAIN_CHARS.test(text);
    pos = PLAIN_CHARS.lastIndex;
    const c = text[pos];
    if (c === '"') return pos + 1;
    if (c !== "\\") throw unexpectedAt(text, pos, "in string literal");
    const escaped = text[pos + 1];
    if (escaped === "u") {
      pos = endOfHex(text, pos + 2);
    } else if (escaped !== undefined && '"\\/bfnrt'.includes(escaped)) {
      pos += 2;
    } else {
      throw unexpectedAt(text, pos + 1, "in string escape code");
    }
  }
}

function endOfHex(text: string, at: number): number {
  HEX4.lastIndex = at;
  if (HEX4.test(text)) return at + 4;
  let pos = at;
  while (/[0-9a-fA-F]/.test(text[pos] ?? "")) pos++;
  throw unexpectedAt(text, pos, "in \\u hexadecimal character escape");
}

function endOfLiteral(text: string, at: number, literal: string): number {
  for (let i = 1; i < literal.length; i++) {
    if (text[at + i] === literal[i]) continue;
    throw unexpectedAt(
      text,
      at + i,
      `in literal ${literal} (expecting '${literal[i]}')`,
    );
  }
  return at + literal.length;
}

function isDigit(c: string): boolean {
  return c >= "0" && c <= "9";
}

function unexpectedAt(text: string, at: number, where: string): JsonError {
  const code = text.codePointAt(at);
  return code === undefined
    ? new JsonError("unexpected EOF")
    : unexpected(String.fromCodePoint(code), where);
}

/** Go looks at bytes: of a character of several, it tells the first. */
function unexpected(c: string, where: string): JsonError {
  return unexpectedByte(firstByte(c), where);
}

/** The error for a byte that cannot stand where it does, with the byte as Go quotes it. */
export function unexpectedByte(byte: number, where: string): JsonError {
  return new JsonError(`invalid character '${quoted(byte)}' ${where}`);
}

function firstByte(c: string): number {
  const code = c.codePointAt(0)!;
  // A byte that is not UTF-8 (json_strings.ts).
  if (code >= 0xdc80 && code <= 0xdcff) return code - 0xdc00;
  return utf8(c)[0]!;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "'": "\\'",
  "\\": "\\\\",
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

function quoted(byte: number): string {
  const c = String.fromCharCode(byte);
  const hex = byte.toString(16).padStart(2, "0");
  if (c in ESCAPES) return ESCAPES[c]!;
  if (byte < 0x20 || byte === 0x7f) return `\\x${hex}`;
  const isPrinted = byte < 0x7f || (byte > 0xa0 && byte !== 0xad);
  return isPrinted ? c : `\\u00${hex}`;
}

/** Line and column of a place in a text, both from one; columns count characters. */
export function positionOf(
  text: string,
  at: number,
): { line: number; column: number } {
  const lines = text.slice(0, at).split("\n");
  let column = 1;
  for (const _ of lines.at(-1)!) column++;
  return { line: lines.length, column };
}
