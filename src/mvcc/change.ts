import { assert } from "../base/assert.ts";
import { EMPTY } from "../base/bytes.ts";
import {
  sizeEvent,
  writeEvent,
  writeTombstoneRecord,
} from "../pb/key_value.ts";
import type { Event } from "./event.ts";
import type { KeyEntry, PendingWrite } from "./key_entry.ts";
import type { ValueStore } from "./value_store.ts";

/**
 * One change of one key: first pending in the batch that evaluates it, then, once committed, the event
 * that watchers see. One object serves both lives, since there is one for every write.
 *
 * `record` is set when somebody first needs the bytes; `previous*` name the version that it replaced.
 */
export class Change implements PendingWrite, Event {
  readonly key: Uint8Array;
  /** The wire record; undefined until located. */
  record: Uint8Array | undefined = undefined;
  /** The live version that this one replaced; revision 0 if there was none. */
  previousRev = 0;
  previousSub = 0;
  previousAddress = 0;
  previousBytes = 0;
  previousRecord: Uint8Array | undefined = undefined;
  value: Uint8Array;
  /** No longer pending. */
  isApplied = false;
  #wire: Uint8Array | undefined = undefined;
  #wireWithPrevious: Uint8Array | undefined = undefined;

  constructor(
    readonly values: ValueStore,
    readonly entry: KeyEntry,
    readonly rev: number,
    readonly sub: number,
    readonly createRev: number,
    readonly version: number,
    readonly lease: bigint,
    readonly address: number,
    readonly recordBytes: number,
    public prior: PendingWrite | undefined,
  ) {
    this.key = entry.key;
    this.value = EMPTY;
  }

  get deleted(): boolean {
    return this.version === 0;
  }

  /**
   * Finds the record, and keeps it. Undefined if memory let it go meanwhile; a tombstone's is made
   * again, since a DeleteRange can write more of them than memory holds.
   */
  locate(): Uint8Array | undefined {
    if (this.record !== undefined) return this.record;
    const record = this.values.get(this.address, this.recordBytes);
    if (record !== undefined) return this.record = record;
    if (!this.deleted) return undefined;
    this.record = new Uint8Array(this.recordBytes);
    writeTombstoneRecord(this.record, 0, this.key, this.rev);
    return this.record;
  }

  get wire(): Uint8Array {
    return this.#wire ??= encode(this.#located(), this.deleted, undefined);
  }

  get wireWithPrevious(): Uint8Array | undefined {
    if (this.#wireWithPrevious !== undefined) return this.#wireWithPrevious;
    if (this.previousRev === 0) return this.wire;
    if (this.previousRecord === undefined) return undefined;
    return this.#wireWithPrevious = encode(
      this.#located(),
      this.deleted,
      this.previousRecord,
    );
  }

  #located(): Uint8Array {
    const record = this.locate();
    assert(
      record !== undefined,
      "an event's record is in memory while it is handed out",
    );
    return record;
  }
}

function encode(
  record: Uint8Array,
  deleted: boolean,
  previous: Uint8Array | undefined,
): Uint8Array {
  const out = new Uint8Array(sizeEvent(record, deleted, previous));
  writeEvent(out, 0, record, deleted, previous);
  return out;
}
