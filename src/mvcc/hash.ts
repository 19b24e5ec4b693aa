import type { RowId } from "../backend/backend.ts";
import { DomainError } from "../base/errors.ts";
import type { VersionRef } from "./key_entry.ts";
import { FetchedRecords } from "./records.ts";
import { checkReadRevision } from "./range_reader.ts";
import type { Store } from "./store.ts";

/** Keys looked at, and versions hashed, before other work gets a turn. */
const SLICE_KEYS = 500;
const SLICE_VERSIONS = 1000;

export interface KvHash {
  /** CRC-32C. */
  readonly hash: number;
  readonly compactRevision: number;
  readonly hashRevision: number;
}

/**
 * CRC-32C over every version that is readable at or above the compact revision, up to `revision`
 * (0: the current one; negative: none at all): by key, then by revision, each version's row id and record. A tombstone at
 * the compact revision does not count. Only comparable between replicas of Stele, at equal compact
 * revisions, as etcd's is only between etcd's members.
 */
export async function hashKv(store: Store, revision: number): Promise<KvHash> {
  const crc = new Crc32c();
  const { compactRevision } = store;
  // Nothing is as old as that; etcd says so as well.
  if (revision < 0) {
    return { hash: crc.value, compactRevision, hashRevision: revision };
  }
  const hashRevision = revision === 0 ? store.currentRevision : revision;
  checkReadRevision(hashRevision, store);
  let after: Uint8Array | undefined;
  let slice: Row[] = [];
  const flush = async () => {
    await hashRows(store, slice, crc);
    slice = [];
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (store.compactRevision > hashRevision) {
      throw new DomainError("compacted");
    }
  };
  for (;;) {
    const entries = store.index.ascendAfter(after, SLICE_KEYS);
    if (entries.length === 0) break;
    for (const entry of entries) {
      entry.forEachVersion(compactRevision, hashRevision, (version) => {
        slice.push({ ...version });
      });
      after = entry.key;
      if (slice.length >= SLICE_VERSIONS) await flush();
    }
  }
  await flush();
  return { hash: crc.value, compactRevision, hashRevision };
}

type Row = Readonly<VersionRef>;

async function hashRows(
  store: Store,
  rows: readonly Row[],
  crc: Crc32c,
): Promise<void> {
  const fetched = new FetchedRecords();
  const missing: RowId[] = rows
    .filter((row) => store.records.view(row, undefined) === undefined)
    .map(({ rev, sub }) => ({ rev, sub }));
  if (missing.length > 0) await store.records.fetch(missing, fetched);
  const id = new Uint8Array(16);
  const view = new DataView(id.buffer);
  for (const row of rows) {
    const record = store.records.view(row, fetched);
    if (record === undefined) throw new DomainError("compacted");
    view.setFloat64(0, row.rev);
    view.setFloat64(8, row.sub);
    crc.update(id);
    crc.update(record);
  }
}

/** CRC-32C (Castagnoli), reflected, as RFC 3720 appendix B.4 has it. */
export class Crc32c {
  #state = 0xffffffff;

  get value(): number {
    return (this.#state ^ 0xffffffff) >>> 0;
  }

  update(bytes: Uint8Array): void {
    let state = this.#state;
    for (let i = 0; i < bytes.length; i++) {
      state = (state >>> 8) ^ CRC_TABLE[(state ^ bytes[i]!) & 0xff]!;
    }
    this.#state = state;
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c >>> 0;
});
