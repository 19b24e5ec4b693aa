/**
 * CRC-32 as in zlib (ISO-HDLC).
 *
 * `node:zlib` is ten times faster with long inputs, and takes 30 ms to load on Deno 2.9: a third of the time that a
 * server may take to start. So it is loaded once there was something to do.
 */
import type { crc32 as nodeCrc32 } from "node:zlib";

/** Bytes that are worth less than loading: 0.1 ms at most. */
const UNLOADED_BYTES = 1 << 16;

const POLYNOMIAL = 0xedb88320;
const TABLE = makeTable();

let unloadedBytes = 0;
let native: typeof nodeCrc32 | undefined;

/** The checksum of what `seed` is the checksum of and `bytes`, one behind the other. `seed`: default of nothing. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  if (native !== undefined) return native(bytes, seed);
  unloadedBytes += bytes.length;
  if (unloadedBytes <= UNLOADED_BYTES) return tableCrc32(bytes, seed);
  native = globalThis.process.getBuiltinModule("node:zlib").crc32;
  return native(bytes, seed);
}

/** The same, byte by byte. */
export function tableCrc32(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  for (let i = 0; i < bytes.length; i++) {
    crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 0xff]!;
  }
  return ~crc >>> 0;
}

function makeTable(): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    }
    table[byte] = crc;
  }
  return table;
}
