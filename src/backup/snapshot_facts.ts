import type { StoreFile } from "../backend/driver/sqlite/store_file.ts";
import { StateKind } from "../backend/state_change.ts";
import { equalBytes, text } from "../base/bytes.ts";
import { COMPACT_REVISION_KEY } from "../mvcc/compact_revision.ts";

/** The compact revision that a file holds; -1 before the first compaction, NaN if it cannot be read. */
export function compactRevisionOf(file: StoreFile): number {
  const entry = file.state(StateKind.Meta)
    .find(({ key }) => equalBytes(key, COMPACT_REVISION_KEY));
  if (entry === undefined) return -1;
  const digits = text(entry.value);
  return /^\d+$/.test(digits) ? Number(digits) : NaN;
}
