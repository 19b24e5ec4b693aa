import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { DomainError } from "../base/errors.ts";
import { IndexedHeap } from "../base/heap.ts";
import type { Logger } from "../base/log.ts";
import type { CommitListener, Event, EventSource } from "../mvcc/event.ts";
import { CatchUp } from "./catch_up.ts";
import { InterestIndex } from "./interest_index.ts";
import type { KeyInterest } from "./key_interest.ts";
import { ProgressWheel } from "./progress_wheel.ts";
import {
  type EventResponses,
  type Headers,
  ResponseEncoder,
} from "./response_encoder.ts";
import { DEFAULT_WATCH_OPTIONS, type WatchOptions } from "./watch_options.ts";
import {
  type StreamHost,
  type WatchRequest,
  WatchStream,
  type WatchWriter,
} from "./watch_stream.ts";
import { type Watcher, WatcherState } from "./watcher.ts";
import type { WatcherGroup } from "./watcher_group.ts";

/** A writer tells of having drained when it comes down to this; a stream must not count as full below it. */
const WRITER_LOW_WATER_BYTES = 64 << 10;

/** Numbers for metrics. */
export interface WatchStats {
  readonly streams: number;
  readonly watchers: number;
  /** Watchers that are behind or slow. */
  readonly slowWatchers: number;
  /** Distinct keys and ranges that are watched. */
  readonly interests: number;
  /** Revisions that slow watchers have not been offered yet, added up over the watchers. */
  readonly pendingRevisions: number;
  /** Events sent since the start, each counted for every watcher that it went to. */
  readonly eventsSent: number;
}

/**
 * Hands committed events to watchers, in revision order.
 *
 *                       start > current
 *            create ─────────────────────▶ Future
 *              │ │                           │ start is committed (first of a batch; else ▶ Behind)
 *   start past │ │ start 0                   ▼
 *              │ └──────────────────────▶ Synced ◀──────────────┐
 *              ▼                           │   │                │ read up to the current revision
 *            Behind ◀── previous values ───┘   │ stream full    │
 *              ▲ │      to be fetched          ▼                │
 *              │ └─────── stream full ──────▶ Slow              │
 *              │ └──────────────────────────────────────────────┘
 *              └────────── stream drained ────┘
 *
 * Any state ▶ Gone: canceled by the client, stream over, or (Behind) history compacted.
 *
 * Keeps no history: a watcher that is behind reads it from the `EventSource`, one that is slow holds
 * nothing but the revision to go on from, so that neither costs memory or time of writers.
 *
 * Invariants: a watcher is in exactly one state, and only the hub changes it. A synced watcher has been
 * offered everything up to the current revision, and one that is not, everything below its `next`; so
 * each event is offered once and in order. Whole revisions are offered, and in one response (or the
 * fragments of one). The revision of a header never exceeds what was offered to the stream's watchers
 * that the response speaks for.
 *
 * A batch of many revisions goes out as one response for each watcher, whose header names the last
 * revision in it, where etcd sends one for each revision: clients see the same from catching up.
 */
export class WatchHub implements CommitListener {
  readonly #source: EventSource;
  readonly #index = new InterestIndex();
  readonly #encoder: ResponseEncoder;
  readonly #host: StreamHost;
  readonly #streams = new Set<WatchStream>();
  readonly #future = new IndexedHeap<Watcher>((a, b) => a.next < b.next);
  readonly #catchUp: CatchUp;
  readonly #wheel: ProgressWheel;
  #watchers = 0;
  #synced = 0;
  #eventsSent = 0;
  /** The revision up to which the synced watchers have been offered everything. */
  #offered = 0;
  /** Watchers change groups only between offerings: a send may close its stream in the middle of one. */
  #isOffering = false;
  readonly #leaving: Watcher[] = [];
  readonly #forgotten: Watcher[] = [];

  constructor(
    source: EventSource,
    headers: Headers,
    clock: Clock,
    log: Logger,
    tunables: Partial<WatchOptions> = {},
  ) {
    const options = { ...DEFAULT_WATCH_OPTIONS, ...tunables };
    assert(
      options.maxStreamBufferBytes >= WRITER_LOW_WATER_BYTES,
      "a full stream must be able to drain",
    );
    this.#source = source;
    this.#encoder = new ResponseEncoder(headers, options);
    const host = {
      join: (watcher: Watcher) => this.#join(watcher),
      hold: (watcher: Watcher) => this.#hold(watcher),
      cancelCompacted: ({ stream, id }: Watcher) =>
        stream.cancelCompacted(id, source.compactRevision),
      unreadable: ({ stream }: Watcher) => stream.fail("unhealthy"),
    };
    this.#catchUp = new CatchUp(
      source,
      this.#encoder,
      host,
      clock,
      log,
      options,
    );
    this.#wheel = new ProgressWheel(
      clock,
      options.random,
      options.progressIntervalMs,
      (watcher) => this.#notifyProgress(watcher),
    );
    const offered = () => this.#offered;
    this.#host = {
      source,
      get offeredRevision() {
        return offered();
      },
      index: this.#index,
      encoder: this.#encoder,
      options,
      admit: (watcher, request) => this.#admit(watcher, request),
      remove: (watcher) => this.#remove(watcher),
      resume: (watcher) => this.#resume(watcher),
      closed: (stream) => void this.#streams.delete(stream),
      countSent: (events) => void (this.#eventsSent += events),
    };
  }

  get stats(): WatchStats {
    return {
      streams: this.#streams.size,
      watchers: this.#watchers,
      interests: this.#index.size,
      slowWatchers: this.#watchers - this.#synced - this.#future.size,
      pendingRevisions: this.#pendingRevisions(),
      eventsSent: this.#eventsSent,
    };
  }

  /** A new stream; `fail` is told when the hub ends it. Whoever opened it calls `close` when the call is over. */
  open(out: WatchWriter, fail: (error: DomainError) => void): WatchStream {
    const stream = new WatchStream(out, this.#host, fail);
    this.#streams.add(stream);
    return stream;
  }

  committed(events: readonly Event[], revision: number): void {
    const first = events[0]?.rev;
    if (first === undefined) return;
    if (this.#synced > 0) {
      assert(first > this.#offered, "a commit is offered once and in order");
      if (first !== this.#offered + 1) this.#missed();
    }
    this.#offered = revision;
    if (this.#future.size > 0) this.#reach(first, revision);
    const touched = this.#index.match(events);
    this.#isOffering = true;
    for (let i = 0; i < touched.length; i++) {
      const interest = touched[i]!;
      this.#offer(interest);
    }
    this.#isOffering = false;
    if (this.#leaving.length > 0) this.#settle(this.#leaving);
    if (this.#forgotten.length > 0) this.#settle(this.#forgotten);
  }

  /** Nothing to do: whoever still needs what is gone finds out when it reads on. */
  compacted(_compactRevision: number): void {}

  /** Ends all streams: their clients go on with another server. */
  close(): void {
    this.#catchUp.close();
    for (const stream of [...this.#streams]) stream.fail("stopped");
    this.#wheel.close();
  }

  /** Offers the matched events to an interest's synced watchers. */
  #offer(interest: KeyInterest): void {
    const { groups, matched } = interest;
    interest.matched = [];
    let isAsked = false;
    let pending: Promise<void> | undefined;
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i]!;
      if (group.synced.length === 0) continue;
      const events = group.select(matched);
      if (events.length === 0) continue;
      if (group.prevKv) {
        if (!isAsked) pending = this.#source.resolvePrevious(matched);
        isAsked = true;
        if (pending !== undefined) {
          this.#await(group, events[0]!.rev, pending);
          continue;
        }
      }
      const lastRevision = events[events.length - 1]!.rev;
      this.#send(group, this.#encoder.events(group, events, lastRevision));
    }
  }

  #send(group: WatcherGroup, responses: EventResponses): void {
    const { synced } = group;
    for (let i = 0; i < synced.length; i++) {
      const watcher = synced[i]!;
      if (watcher.state !== WatcherState.Synced) continue;
      watcher.isQuiet = false;
      const resume = watcher.stream.deliver(responses);
      // Sending may have closed the stream.
      if (resume === 0 || watcher.stream.isClosed) continue;
      this.#letGo(watcher, resume);
      this.#hold(watcher);
    }
  }

  /** Has a group read history from `revision` on, once the previous values that it needs have been fetched. */
  #await(group: WatcherGroup, revision: number, pending: Promise<void>): void {
    const watchers: Watcher[] = [];
    for (const watcher of group.synced) {
      if (watcher.state !== WatcherState.Synced) continue;
      this.#letGo(watcher, revision);
      watcher.state = WatcherState.Behind;
      watchers.push(watcher);
    }
    const proceed = () => {
      for (const watcher of watchers) this.#catchUp.enqueue(watcher);
    };
    // A failure is not lost: reading the history meets it again, and deals with it.
    pending.then(proceed, proceed);
  }

  /** Commits were not announced, which must not cost events: everyone reads them. */
  #missed(): void {
    const next = this.#offered + 1;
    for (const stream of this.#streams) {
      for (const watcher of stream.watchers()) {
        if (watcher.state !== WatcherState.Synced) continue;
        this.#letGo(watcher, next);
        this.#resume(watcher);
      }
    }
  }

  /** Wakes the watchers whose first revision is in the batch that starts at `first`. */
  #reach(first: number, revision: number): void {
    for (;;) {
      const watcher = this.#future.peek();
      if (watcher === undefined || watcher.next > revision) return;
      this.#future.pop();
      if (watcher.next === first) this.#join(watcher);
      else this.#resume(watcher);
    }
  }

  #admit(watcher: Watcher, request: WatchRequest): void {
    this.#watchers++;
    if (request.progressNotify) this.#wheel.add(watcher);
    if (request.startRevision === 0) this.#join(watcher);
    else if (watcher.next > this.#source.currentRevision) {
      watcher.state = WatcherState.Future;
      this.#future.push(watcher);
    } else this.#resume(watcher);
  }

  #join(watcher: Watcher): void {
    const current = this.#source.currentRevision;
    if (this.#synced > 0 && this.#offered !== current) this.#missed();
    this.#offered = current;
    const { stream, group } = watcher;
    watcher.state = WatcherState.Synced;
    group.join(watcher);
    group.interest.syncedCount++;
    stream.syncedCount++;
    this.#synced++;
  }

  /** Ends the state `Synced`; the caller sets the next one. */
  #letGo(watcher: Watcher, next: number): void {
    this.#uncount(watcher);
    watcher.next = next;
    if (this.#isOffering) this.#leaving.push(watcher);
    else watcher.group.leave(watcher);
  }

  #uncount({ stream, group }: Watcher): void {
    group.interest.syncedCount--;
    stream.syncedCount--;
    this.#synced--;
  }

  #hold(watcher: Watcher): void {
    watcher.state = WatcherState.Slow;
    watcher.stream.hold(watcher);
  }

  #resume(watcher: Watcher): void {
    watcher.state = WatcherState.Behind;
    this.#catchUp.enqueue(watcher);
  }

  #remove(watcher: Watcher): void {
    const { state } = watcher;
    if (state === WatcherState.Synced) this.#uncount(watcher);
    else if (state === WatcherState.Future) this.#future.remove(watcher);
    watcher.state = WatcherState.Gone;
    this.#watchers--;
    this.#wheel.remove(watcher);
    if (this.#isOffering) this.#forgotten.push(watcher);
    else this.#forget(watcher);
  }

  #forget(watcher: Watcher): void {
    const { group } = watcher;
    if (watcher.syncedIndex >= 0) group.leave(watcher);
    if (--group.members > 0) return;
    const { interest } = group;
    interest.remove(group);
    if (interest.groups.length === 0) this.#index.release(interest);
  }

  /** Does what the offering put off. */
  #settle(watchers: Watcher[]): void {
    for (const watcher of watchers) {
      if (watchers === this.#forgotten) this.#forget(watcher);
      else watcher.group.leave(watcher);
    }
    watchers.length = 0;
  }

  #notifyProgress(watcher: Watcher): void {
    if (watcher.isQuiet && watcher.state === WatcherState.Synced) {
      watcher.stream.notifyProgress(watcher.id);
    }
    watcher.isQuiet = true;
  }

  #pendingRevisions(): number {
    let pending = 0;
    const current = this.#source.currentRevision;
    for (const stream of this.#streams) {
      if (stream.syncedCount === stream.size) continue;
      for (const { state, next } of stream.watchers()) {
        if (state === WatcherState.Behind || state === WatcherState.Slow) {
          pending += current + 1 - next;
        }
      }
    }
    return pending;
  }
}
