import { RowReader } from "../backend/row_block.ts";
import { readRecordHead, RecordHead } from "../pb/key_value.ts";
import { Change } from "./change.ts";
import type { KeyIndex } from "./key_index.ts";
import type { ValueStore } from "./value_store.ts";

/** The changes of keys in a batch that somebody else appended, a row block, as if they had been evaluated here. */
export function foreignChanges(
  block: Uint8Array,
  index: KeyIndex,
  values: ValueStore,
): Change[] {
  const changes: Change[] = [];
  const rows = new RowReader(block);
  const head = new RecordHead();
  while (rows.next()) {
    const { recordStart: start, recordEnd: end, sub } = rows;
    readRecordHead(block, start, end, head);
    const entry = index.getOrCreate(
      block.subarray(head.keyStart, head.keyEnd),
    );
    changes.push(
      new Change(
        values,
        entry,
        head.modRev,
        sub,
        head.createRev,
        head.version,
        head.lease,
        values.append(block.subarray(start, end)),
        end - start,
        undefined,
      ),
    );
  }
  return changes;
}
