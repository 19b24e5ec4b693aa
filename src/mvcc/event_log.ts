import type { RowId } from "../backend/backend.ts";
import { RowReader } from "../backend/row_block.ts";
import type { HistoryReader } from "./checked_reads.ts";
import { DomainError } from "../base/errors.ts";
import { readRecordHead, RecordHead } from "../pb/key_value.ts";
import { Change } from "./change.ts";
import type { Event, EventPage, EventSource } from "./event.ts";
import type { EventWindow } from "./event_window.ts";
import { HistoricEvent } from "./historic_event.ts";
import { VersionRef } from "./key_entry.ts";
import type { RevisionBounds } from "./range_reader.ts";
import type { Records } from "./records.ts";

/**
 * The log as watchers read it: the window in memory where it reaches back far enough, else the backend.
 *
 * Never hands out an event above the current revision: what is durable but not yet applied is not
 * visible yet.
 */
export class EventLog implements EventSource {
  constructor(
    readonly bounds: RevisionBounds,
    readonly window: EventWindow,
    readonly records: Records,
    readonly backend: HistoryReader,
  ) {}

  get currentRevision(): number {
    return this.bounds.currentRevision;
  }

  get compactRevision(): number {
    return this.bounds.compactRevision;
  }

  eventsAfter(rev: number, maxBytes: number): EventPage | Promise<EventPage> {
    if (rev + 1 < this.compactRevision) throw new DomainError("compacted");
    if (rev >= this.currentRevision) {
      return { events: [], throughRevision: this.currentRevision };
    }
    if (this.window.coveredAfter <= rev) {
      const events = this.window.after(rev, maxBytes);
      if (events.every((event) => event.locate() !== undefined)) {
        return {
          events: rev < this.compactRevision
            ? events.map((event) => this.#withoutCompacted(event))
            : events,
          throughRevision: events.at(-1)?.rev ?? this.currentRevision,
        };
      }
    }
    return this.#readBack(rev, maxBytes);
  }

  resolvePrevious(events: readonly Event[]): Promise<void> | undefined {
    const missing: { event: Event; row: RowId }[] = [];
    for (const event of events) {
      if (event.wireWithPrevious !== undefined) continue;
      const row = this.#previousOf(event);
      if (row !== undefined) missing.push({ event, row });
    }
    return missing.length === 0 ? undefined : this.#fetchPrevious(missing);
  }

  async #readBack(rev: number, maxBytes: number): Promise<EventPage> {
    const through = this.currentRevision;
    const block = await this.backend.eventsAfter(rev, maxBytes);
    if (rev + 1 < this.compactRevision) throw new DomainError("compacted");
    const events: Event[] = [];
    const rows = new RowReader(block);
    const head = new RecordHead();
    const isWhole = block.length === 0;
    while (rows.next()) {
      const record = block.subarray(rows.recordStart, rows.recordEnd);
      readRecordHead(record, 0, record.length, head);
      if (head.modRev > through) break;
      const key = record.subarray(head.keyStart, head.keyEnd);
      events.push(
        new HistoricEvent(head.modRev, rows.sub, rows.deleted, key, record),
      );
    }
    return {
      events,
      throughRevision: isWhole ? through : events.at(-1)?.rev ?? through,
    };
  }

  /**
   * An event of the compacted revision itself: what it replaced is gone for readers, whether memory has it still or
   * not (etcd reads it one revision earlier, and finds that compacted).
   */
  #withoutCompacted(event: Event): Event {
    if (event.rev > this.compactRevision || !(event instanceof Change)) {
      return event;
    }
    const { rev, sub, deleted, key } = event;
    const bare = new HistoricEvent(rev, sub, deleted, key, event.locate()!);
    bare.setPrevious(undefined);
    return bare;
  }

  /** Resolves the previous record from memory, or names the row to fetch. */
  #previousOf(event: Event): RowId | undefined {
    if (event instanceof Change) {
      const record = this.records.values.get(
        event.previousAddress,
        event.previousBytes,
      );
      if (record === undefined) {
        return { rev: event.previousRev, sub: event.previousSub };
      }
      event.previousRecord = record;
      return undefined;
    }
    const historic = event as HistoricEvent;
    if (event.rev <= this.compactRevision || historic.isCreation) {
      historic.setPrevious(undefined);
      return undefined;
    }
    const ref = new VersionRef();
    const entry = this.records.index.get(event.key);
    if (entry === undefined || !entry.versionAt(event.rev - 1, ref)) {
      historic.setPrevious(undefined);
      return undefined;
    }
    const record = this.records.view(ref, undefined);
    if (record === undefined) return { rev: ref.rev, sub: ref.sub };
    historic.setPrevious(record);
    return undefined;
  }

  async #fetchPrevious(missing: { event: Event; row: RowId }[]): Promise<void> {
    const records = await this.records.backend.valuesOf(
      missing.map((m) => m.row),
    );
    for (let i = 0; i < missing.length; i++) {
      const { event } = missing[i]!;
      const record = records[i];
      if (event instanceof HistoricEvent) event.setPrevious(record);
      else if (event instanceof Change) {
        if (record === undefined) event.previousRev = 0; // compacted: etcd leaves prev_kv out
        else event.previousRecord = record;
      }
    }
  }
}
