import { createHash } from "node:crypto";

/** Names can be longer than what a primary key may hold: 2,704 bytes in PostgreSQL, 3,072 in InnoDB. */
const LONGEST_PLAIN_BYTES = 500;
const PREFIX_BYTES = 469;

/** The longest id: a prefix and a SHA-256, longer than every plain one, so that the two cannot be mistaken. */
export const MAX_STATE_ID_BYTES = PREFIX_BYTES + 32;

/** What identifies an entry of state in its table: the key itself, or its beginning and hash if it is long. */
export function stateId(key: Uint8Array): Uint8Array {
  if (key.length <= LONGEST_PLAIN_BYTES) return key;
  const id = new Uint8Array(MAX_STATE_ID_BYTES);
  id.set(key.subarray(0, PREFIX_BYTES));
  id.set(createHash("sha256").update(key).digest(), PREFIX_BYTES);
  return id;
}
