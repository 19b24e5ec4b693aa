import type { RowId } from "../backend/backend.ts";
import type { HistoryReader } from "./checked_reads.ts";
import { DomainError } from "../base/errors.ts";
import { readRecordKey } from "../pb/key_value.ts";
import type { KeyIndex } from "./key_index.ts";
import type { ValueStore } from "./value_store.ts";

/** Records that were read back for one evaluation, by row. */
export class FetchedRecords {
  readonly #byRow = new Map<string, Uint8Array>();

  get(rev: number, sub: number): Uint8Array | undefined {
    return this.#byRow.get(`${rev}/${sub}`);
  }

  set(row: RowId, record: Uint8Array): void {
    this.#byRow.set(`${row.rev}/${row.sub}`, record);
  }
}

/**
 * Thrown (it is not an error) by an evaluation that needs records which memory let go: fetch the rows,
 * then evaluate again.
 */
export class MissingRecords {
  constructor(readonly rows: readonly RowId[]) {}
}

/** The records of rows: from memory where they are, else from the backend. */
export class Records {
  constructor(
    readonly values: ValueStore,
    readonly index: KeyIndex,
    readonly backend: HistoryReader,
  ) {}

  /** The wire record of a row, or undefined if it has to be fetched. */
  view(
    row: { rev: number; sub: number; address: number; recordBytes: number },
    fetched: FetchedRecords | undefined,
  ): Uint8Array | undefined {
    return this.values.get(row.address, row.recordBytes) ??
      fetched?.get(row.rev, row.sub);
  }

  /**
   * Reads rows back into `fetched`, and those that are the newest of their key into memory as well.
   * Rejects with "compacted" if one is gone: compaction is the only thing that removes rows.
   */
  async fetch(rows: readonly RowId[], fetched: FetchedRecords): Promise<void> {
    const records = await this.backend.valuesOf(rows);
    for (let i = 0; i < rows.length; i++) {
      const record = records[i];
      if (record === undefined) throw new DomainError("compacted");
      fetched.set(rows[i]!, record);
      this.#keep(rows[i]!, record);
    }
  }

  #keep(row: RowId, record: Uint8Array): void {
    const entry = this.index.get(readRecordKey(record, 0, record.length));
    if (entry === undefined || entry.rev !== row.rev || entry.sub !== row.sub) {
      return;
    }
    if (this.values.get(entry.address, entry.recordBytes) !== undefined) return;
    entry.relocate(entry.rev, this.values.append(record));
  }
}
