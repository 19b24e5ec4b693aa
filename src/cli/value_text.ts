import { UsageError } from "./command_context.ts";

/** How to show bytes; `none` leaves values out. */
export const VALUE_FORMATS = ["text", "base64", "hex", "none"] as const;
export type ValueFormat = typeof VALUE_FORMATS[number];

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Control characters would move the cursor or change colours: a value must not do that to a terminal. */
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\\]/g;
const SHORT: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\\": "\\\\",
};

/** For people: in one line. Text that is not UTF-8 is shown byte by byte, ASCII as such, the rest as `\xff`. */
export function shownBytes(
  bytes: Uint8Array,
  format: ValueFormat = "text",
): string {
  switch (format) {
    case "none":
      return "";
    case "base64":
      return bytes.toBase64();
    case "hex":
      return bytes.toHex();
  }
  let text: string;
  try {
    text = STRICT.decode(bytes);
  } catch {
    // Not UTF-8: Latin-1 gives each byte a character.
    return String.fromCharCode(...bytes.subarray(0, MAX_BINARY_BYTES))
      .replace(UNPRINTABLE, escaped)
      .replace(/[\u00a0-\u00ff]/g, hexEscape) +
      (bytes.length > MAX_BINARY_BYTES ? "…" : "");
  }
  return text.replace(UNPRINTABLE, escaped);
}

/** Of what is not text, a longer beginning says no more. */
const MAX_BINARY_BYTES = 1024;

/** At most `limit` characters, the last of which says that there was more; 0 for all. */
export function shortened(text: string, limit: number): string {
  if (limit === 0 || text.length <= limit) return text;
  // A character takes two units at most.
  const characters = [...text.slice(0, 2 * limit + 2)];
  if (characters.length <= limit) return text;
  return characters.slice(0, limit - 1).join("") + "…";
}

/** For programs: exact, whole. Text that is not UTF-8 has no such form: base64 says so by its name. */
export function jsonBytes(
  name: string,
  bytes: Uint8Array,
  format: ValueFormat = "text",
): Record<string, string> {
  switch (format) {
    case "none":
      return {};
    case "base64":
      return { [name]: bytes.toBase64() };
    case "hex":
      return { [name]: bytes.toHex() };
  }
  try {
    return { [name]: STRICT.decode(bytes) };
  } catch {
    return { [`${name}Base64`]: bytes.toBase64() };
  }
}

/** For commander's options. */
export function parseValueFormat(text: string): ValueFormat {
  const format = VALUE_FORMATS.find((each) => each === text);
  if (format !== undefined) return format;
  throw new UsageError(
    `Cannot use --values ${text}: it must be one of ${
      VALUE_FORMATS.join(", ")
    }`,
  );
}

function escaped(character: string): string {
  return SHORT[character] ?? hexEscape(character);
}

function hexEscape(character: string): string {
  const code = character.codePointAt(0)!;
  return code > 0xff
    ? `\\u${code.toString(16).padStart(4, "0")}`
    : `\\x${code.toString(16).padStart(2, "0")}`;
}
