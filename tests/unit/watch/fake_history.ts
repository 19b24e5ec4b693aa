import { compareBytes, utf8 } from "../../../src/base/bytes.ts";
import { DomainError } from "../../../src/base/errors.ts";
import type {
  CommitListener,
  Event,
  EventPage,
  EventSource,
} from "../../../src/mvcc/event.ts";
import {
  encodeEvent,
  type KeyValue,
  newEvent,
  newKeyValue,
} from "../../../src/pb/mvccpb.ts";

/** One change to commit: a key and its new value, or undefined to delete it. */
export interface FakeChange {
  readonly key: string;
  readonly value: string | undefined;
}

/** An event whose previous value has to be asked for, as the store's has. */
export class FakeEvent implements Event {
  readonly key: Uint8Array;
  readonly wire: Uint8Array;
  wireWithPrevious: Uint8Array | undefined = undefined;

  constructor(
    readonly rev: number,
    readonly sub: number,
    readonly change: FakeChange,
    readonly previous: KeyValue | undefined,
  ) {
    this.key = utf8(change.key);
    this.wire = encodeEvent(newEvent(this.#event()));
  }

  get deleted(): boolean {
    return this.change.value === undefined;
  }

  get kv(): KeyValue {
    const { key, rev: modRevision, change: { value } } = this;
    return value === undefined
      ? newKeyValue({ key, modRevision })
      : newKeyValue({ key, modRevision, value: utf8(value) });
  }

  resolve(): void {
    this.wireWithPrevious = encodeEvent(
      newEvent({ ...this.#event(), prevKv: this.previous }),
    );
  }

  #event() {
    return { type: this.deleted ? 1 : 0, kv: this.kv };
  }
}

/** Something that was asked for and is answered when the test says so. */
interface Pending {
  answer(): void;
  fail(error: unknown): void;
}

/**
 * A log of events that can be read at once or when the test lets it, that can fail, and that can be
 * compacted. Nothing is ever removed from `log`: tests compare with it.
 */
export class FakeHistory implements EventSource {
  currentRevision = 1;
  compactRevision = -1;
  readonly log: FakeEvent[] = [];
  /** Pages of events before this revision come as promises. */
  asyncBefore = 0;
  /** Whether previous values come as promises, when first asked for. */
  fetchesPrevious = false;
  /** What the next reads fail with. */
  failure: unknown = undefined;
  reads = 0;
  pages = 0;
  previousReads = 0;
  readonly pending: Pending[] = [];
  readonly #live = new Map<string, KeyValue>();

  constructor(readonly listener: () => CommitListener) {}

  /** Commits one batch: each item is a revision with its changes. */
  commit(...revisions: FakeChange[][]): void {
    const events = this.append(...revisions);
    this.listener().committed(events, this.currentRevision);
  }

  /** Writes the batch without telling the listener. */
  append(...revisions: FakeChange[][]): FakeEvent[] {
    const events: FakeEvent[] = [];
    for (const changes of revisions) {
      this.currentRevision++;
      changes.forEach((change, sub) => {
        const previous = this.#live.get(change.key);
        const event = new FakeEvent(
          this.currentRevision,
          sub,
          change,
          previous,
        );
        if (event.deleted) this.#live.delete(change.key);
        else this.#live.set(change.key, event.kv);
        events.push(event);
      });
    }
    this.log.push(...events);
    return events;
  }

  put(...keys: string[]): void {
    for (const key of keys) this.commit([{ key, value: `${key} value` }]);
  }

  delete(key: string): void {
    this.commit([{ key, value: undefined }]);
  }

  compact(revision: number): void {
    this.compactRevision = revision;
    this.listener().compacted(revision);
  }

  eventsAfter(rev: number, maxBytes: number): EventPage | Promise<EventPage> {
    this.reads++;
    if (this.failure !== undefined) throw this.failure;
    if (rev + 1 >= this.asyncBefore) return this.#page(rev, maxBytes);
    return this.#later(() => this.#page(rev, maxBytes));
  }

  resolvePrevious(events: readonly Event[]): Promise<void> | undefined {
    const missing = (events as FakeEvent[]).filter((event) =>
      event.wireWithPrevious === undefined
    );
    const resolve = () => {
      for (const event of missing) event.resolve();
    };
    if (missing.length === 0) return undefined;
    if (!this.fetchesPrevious) {
      resolve();
      return undefined;
    }
    this.previousReads++;
    return this.#later(resolve);
  }

  /** The log's events in a range. */
  eventsIn(start: string, end: string | undefined): FakeEvent[] {
    const from = utf8(start);
    const to = end === undefined ? undefined : utf8(end);
    return this.log.filter(({ key }) =>
      compareBytes(key, from) >= 0 &&
      (to === undefined || compareBytes(key, to) < 0)
    );
  }

  #page(rev: number, maxBytes: number): EventPage {
    if (rev + 1 < this.compactRevision) throw new DomainError("compacted");
    this.pages++;
    const first = this.#firstAfter(rev);
    let end = first;
    let bytes = 0;
    while (end < this.log.length) {
      const event = this.log[end]!;
      if (bytes > maxBytes && event.rev !== this.log[end - 1]!.rev) break;
      bytes += event.wire.length;
      end++;
    }
    const events = this.log.slice(first, end);
    const isWhole = end === this.log.length;
    return {
      events,
      throughRevision: isWhole ? this.currentRevision : events.at(-1)!.rev,
    };
  }

  #firstAfter(rev: number): number {
    let low = 0;
    let high = this.log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.log[middle]!.rev <= rev) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #later<T>(make: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const answer = () => {
        try {
          resolve(make());
        } catch (error) {
          reject(error);
        }
      };
      this.pending.push({ answer, fail: reject });
    });
  }
}
