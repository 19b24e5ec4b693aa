import {
  readRecordHead,
  RecordHead,
  sizeEvent,
  writeEvent,
} from "../pb/key_value.ts";
import type { Event } from "./event.ts";

/** An event that was read back from the backend. */
export class HistoricEvent implements Event {
  #wire: Uint8Array | undefined = undefined;
  #wireWithPrevious: Uint8Array | undefined = undefined;

  constructor(
    readonly rev: number,
    readonly sub: number,
    readonly deleted: boolean,
    readonly key: Uint8Array,
    readonly record: Uint8Array,
  ) {}

  /** Whether it made a key that was not there, or that its transaction had deleted before. */
  get isCreation(): boolean {
    const { record } = this;
    const head = new RecordHead();
    readRecordHead(record, 0, record.length, head);
    return !this.deleted && head.createRev === this.rev;
  }

  get wire(): Uint8Array {
    return this.#wire ??= this.#encode(undefined);
  }

  get wireWithPrevious(): Uint8Array | undefined {
    return this.#wireWithPrevious;
  }

  /** Says what came before: a record, or undefined if nothing did or compaction took it. */
  setPrevious(record: Uint8Array | undefined): void {
    this.#wireWithPrevious = record === undefined
      ? this.wire
      : this.#encode(record);
  }

  #encode(previous: Uint8Array | undefined): Uint8Array {
    const out = new Uint8Array(sizeEvent(this.record, this.deleted, previous));
    writeEvent(out, 0, this.record, this.deleted, previous);
    return out;
  }
}
