import type { RowFacts } from "../backend/driver/sqlite/store_file.ts";

/** Longer keys are cut off in messages. */
const MAX_KEY_BYTES = 80;

/** `row 12/0 of "/a/key"` */
export function placeOf(row: Pick<RowFacts, "rev" | "sub" | "key">): string {
  return `row ${row.rev}/${row.sub} of ${keyName(row.key)}`;
}

/** A key in quotes; bytes that cannot be printed as `\xff`. */
export function keyName(key: Uint8Array): string {
  let name = "";
  for (const byte of key.subarray(0, MAX_KEY_BYTES)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 &&
      byte !== 0x5c;
    name += isPlain
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return key.length > MAX_KEY_BYTES ? `"${name}"…` : `"${name}"`;
}
