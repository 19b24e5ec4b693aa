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

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Whether `value` is base64, padded or not; several in one field are divided by commas. */
export function isBase64(value: string): boolean {
  for (const part of value.split(",")) {
    const text = part.trim();
    const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
    if (!BASE64.test(text) || (text.length - padding) % 4 === 1) return false;
    if (padding > 0 && text.length % 4 !== 0) return false;
  }
  return true;
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
