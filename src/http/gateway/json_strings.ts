import { isUtf8 } from "node:buffer";
import { endOfString, JsonError, positionOf } from "./json_syntax.ts";

const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;
/** An escape like `\ud800`. */
const ESCAPE_CHARS = 6;

/**
 * JSON's text. Go's encoding/json looks at bytes and takes any in a string; so each that is not UTF-8 becomes the lone
 * surrogate U+DC00 and itself, which no UTF-8 can be, and `checkStrings` finds it.
 */
export function textOfJson(json: Uint8Array): string {
  try {
    return DECODER.decode(json);
  } catch {
    return escapeBytes(json);
  }
}

/**
 * Refuses strings that are not Unicode, in the words of Go's protojson: bytes that are no UTF-8, escaped surrogates
 * that are alone. What is in `text` between `start` and `end` is well-formed JSON. Throws `JsonError`.
 */
export function checkStrings(text: string, start: number, end: number): void {
  if (text.isWellFormed() && !SURROGATE_ESCAPE.test(text)) return;
  let at = text.indexOf('"', start);
  while (at >= 0 && at < end) {
    const stringEnd = endOfString(text, at);
    const raw = text.slice(at, stringEnd);
    if (!raw.isWellFormed()) {
      throw syntaxError(text, at, "invalid UTF-8 in string");
    }
    if (SURROGATE_ESCAPE.test(raw)) checkEscapes(text, at, stringEnd, end);
    at = text.indexOf('"', stringEnd);
  }
}

function checkEscapes(
  text: string,
  start: number,
  stringEnd: number,
  end: number,
): void {
  let at = start + 1;
  while (at < stringEnd) {
    if (text[at] !== "\\") at++;
    else if (text[at + 1] !== "u") at += 2;
    else {
      const isSurrogate = SURROGATE_ESCAPE.test(text.slice(at, at + 4));
      at += ESCAPE_CHARS;
      if (!isSurrogate) continue;
      // Go looks for the other half in what follows, be it in the string or not.
      if (end - at < ESCAPE_CHARS) throw new JsonError("proto: unexpected EOF");
      const isPair = /^\\u[dD][89abAB].{2}\\u[dD][c-fC-F]/.test(
        text.slice(at - ESCAPE_CHARS, at + ESCAPE_CHARS),
      );
      if (!isPair) {
        const next = JSON.stringify(text.slice(at, at + ESCAPE_CHARS));
        throw syntaxError(
          text,
          start,
          `invalid escape code ${next} in string`,
        );
      }
      at += ESCAPE_CHARS;
    }
  }
}

function syntaxError(text: string, at: number, what: string): JsonError {
  const { line, column } = positionOf(text, at);
  return new JsonError(`proto: syntax error (line ${line}:${column}): ${what}`);
}

function escapeBytes(bytes: Uint8Array): string {
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at]!;
    const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const char = bytes.subarray(at, at + size);
    if (char.length === size && isUtf8(char)) {
      text += DECODER.decode(char);
      at += size;
    } else {
      text += String.fromCharCode(0xdc00 + lead);
      at++;
    }
  }
  return text;
}
