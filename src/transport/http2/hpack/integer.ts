import { ConnectionError } from "../errors.ts";
import { ErrorCode } from "../frame.ts";

/** Longest integer that is read: 2^28 + prefix. No length, index or table size of ours comes near. */
const MAX_CONTINUATION_BYTES = 4;

/** A position in a header block. */
export interface BlockCursor {
  bytes: Uint8Array;
  at: number;
  end: number;
}

/**
 * Reads an integer whose first byte carries `prefixBits` of it (RFC 7541 §5.1). Example: with a 5-bit prefix
 * 1f 9a 0a is 31 + 26 + (10 << 7) = 1337.
 */
export function readInteger(cursor: BlockCursor, prefixBits: number): number {
  if (cursor.at >= cursor.end) throw truncated();
  const max = (1 << prefixBits) - 1;
  let value = cursor.bytes[cursor.at++]! & max;
  if (value < max) return value;
  for (let i = 0; i < MAX_CONTINUATION_BYTES; i++) {
    if (cursor.at >= cursor.end) throw truncated();
    const byte = cursor.bytes[cursor.at++]!;
    value += (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return value;
  }
  throw new ConnectionError(
    ErrorCode.CompressionError,
    "HPACK integer too large",
  );
}

/** Appends `value` with `prefixBits` of it in the first byte, whose other bits come from `firstByte`. */
export function appendInteger(
  out: number[],
  prefixBits: number,
  firstByte: number,
  value: number,
): void {
  const max = (1 << prefixBits) - 1;
  if (value < max) {
    out.push(firstByte | value);
    return;
  }
  out.push(firstByte | max);
  let rest = value - max;
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
}

/** What a block that ends too early is answered with. */
export function truncated(): ConnectionError {
  return new ConnectionError(
    ErrorCode.CompressionError,
    "HPACK block ends inside a field",
  );
}
