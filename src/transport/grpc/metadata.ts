import { Buffer } from "node:buffer";
import type { RequestHeaders } from "../http2/stream_handler.ts";

/** The first value of a field, or undefined. Values of `-bin` fields come decoded, as latin1. */
export function metadataOf(
  headers: RequestHeaders,
  name: string,
): string | undefined {
  const { fields } = headers;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    const value = fields[i + 1]!;
    if (!name.endsWith("-bin")) return value;
    // Several values may stand in one field, divided by commas.
    return Buffer.from(value.split(",")[0]!, "base64").toString("latin1");
  }
  return undefined;
}

/** Milliseconds of each unit of `grpc-timeout` (grpc/doc/PROTOCOL-HTTP2.md). */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Reads `grpc-timeout`: at most 8 digits and a unit. Undefined if it is malformed. */
export function parseTimeoutMs(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_MS[match[2]!]!;
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
