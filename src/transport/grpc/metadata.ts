import { Buffer } from "node:buffer";

/** The first value of a field, or undefined. Values of `-bin` fields come decoded, as latin1. */
export function metadataOf(
  fields: readonly string[],
  name: string,
): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    const value = fields[i + 1]!;
    if (!isBinary(name)) return value;
    // Several values may stand in one field, divided by commas.
    const comma = value.indexOf(",");
    const first = comma < 0 ? value : value.slice(0, comma);
    return Buffer.from(first, "base64").toString("latin1");
  }
  return undefined;
}

/** Whether the values of a field are base64. */
export function isBinary(name: string): boolean {
  return name.endsWith("-bin");
}

const DIGIT = /[A-Za-z0-9+/]/;

/**
 * What is wrong with a value that should be base64, padded or not, as Go's encoding/base64 says it; undefined: nothing.
 * Several in one field are divided by commas.
 */
export function base64Fault(value: string): string | undefined {
  for (const part of value.split(",")) {
    const at = illegalAt(part.trim());
    if (at >= 0) return `illegal base64 data at input byte ${at}`;
  }
  return undefined;
}

/** Where Go's decoder gives up, or -1. Padding may stand in a text whose length is a multiple of four alone. */
function illegalAt(text: string): number {
  const { length } = text;
  let digits = 0;
  while (digits < length && DIGIT.test(text[digits]!)) digits++;
  const isPadded = length % 4 === 0;
  if (digits === length) return digits % 4 === 1 ? length - 1 : -1;
  if (!isPadded || text[digits] !== "=" || digits % 4 < 2) return digits;
  const end = digits + 4 - digits % 4;
  if (digits % 4 === 2 && text[digits + 1] !== "=") return digits;
  return end < length ? end : -1;
}

/** Eight digits and a unit. */
const MAX_TIMEOUT_CHARS = 9;

/** Milliseconds of each unit of `grpc-timeout` (grpc/doc/PROTOCOL-HTTP2.md). */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Reads a `grpc-timeout` into milliseconds, or says what is wrong with it, as grpc-go does. */
export function parseTimeoutMs(text: string): number | string {
  const last = text.length - 1;
  if (last < 1) return `transport: timeout string is too short: "${text}"`;
  if (last >= MAX_TIMEOUT_CHARS) {
    return `transport: timeout string is too long: "${text}"`;
  }
  const unit = UNIT_MS[text[last]!];
  if (unit === undefined) {
    return `transport: timeout unit is not recognized: "${text}"`;
  }
  let count = 0;
  for (let i = 0; i < last; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) {
      const digits = text.slice(0, last);
      return `strconv.ParseUint: parsing "${digits}": invalid syntax`;
    }
    count = count * 10 + digit;
  }
  return count * unit;
}

const ENCODER = new TextEncoder();

/** Percent-encodes a `grpc-message`: all but printable ASCII, and the percent sign. */
export function encodeGrpcMessage(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message;
  let out = "";
  for (const byte of ENCODER.encode(message)) {
    out += byte >= 0x20 && byte <= 0x7e && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
