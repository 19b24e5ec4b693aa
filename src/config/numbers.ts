const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;

/** As Go's `ParseInt(s, 0, 64)`: decimal, 0x, 0o, 0b or a leading 0 for octal, `_` between digits. */
const INTEGER =
  /^(0x_?[0-9a-f](_?[0-9a-f])*|0o?(_?[0-7])+|0b(_?[01])+|0|[1-9](_?\d)*)$/i;

/** A signed integer of 64 bits, or undefined. Beyond 2^53 the nearest `number`. */
export function parseInteger(text: string): number | undefined {
  const isNegative = text.startsWith("-");
  const digits = isNegative || text.startsWith("+") ? text.slice(1) : text;
  const value = magnitude(digits);
  if (value === undefined) return undefined;
  if (isNegative) return value > MAX_INT64 + 1n ? undefined : -Number(value);
  return value > MAX_INT64 ? undefined : Number(value);
}

/** An integer of 64 bits that is not negative, or undefined. Beyond 2^53 the nearest `number`. */
export function parseUnsigned(text: string): number | undefined {
  const value = magnitude(text);
  return value === undefined || value > MAX_UINT64 ? undefined : Number(value);
}

/** As Go's `ParseBool`. */
export function parseBool(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

const BYTES = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])(?:iB|B)?)?$/i;
const POWERS = "KMGT";

/** A size: a number of bytes, or with K, M, G or T (each 1024 times the one before; `KiB` likewise). */
export function parseBytes(text: string): number | undefined {
  const match = BYTES.exec(text);
  if (match === null) return undefined;
  const unit = match[2] === undefined
    ? 0
    : POWERS.indexOf(match[2].toUpperCase()) + 1;
  const bytes = Number(match[1]) * 1024 ** unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

function magnitude(text: string): bigint | undefined {
  if (!INTEGER.test(text)) return undefined;
  const digits = text.replaceAll("_", "");
  return BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
}
