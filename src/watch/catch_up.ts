import type { Clock } from "../base/clock.ts";
import { DomainError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { EventPage, EventSource } from "../mvcc/event.ts";
import { HistoryPage } from "./history_page.ts";
import type { ResponseEncoder } from "./response_encoder.ts";
import type { WatchOptions } from "./watch_options.ts";
import { type Watcher, WatcherState } from "./watcher.ts";

/**
 * Work of one turn, in events looked at; some 2 ms. Then the event loop has its turn, for as long as a
 * timer of no delay takes (2 ms in Deno): catching up takes half of the time at most.
 */
const TURN_WORK = 20_000;
/** What serving a watcher costs beside looking at events. */
const WATCHER_WORK = 10;
/** Encoded bytes that cost as much as looking at an event. */
const BYTES_PER_WORK = 256;

/** Watchers taken from the queue at once, to be sorted by where they go on. */
const PASS_WATCHERS = 1024;
/** Watchers that read on together, one page after the other. */
const COHORT_WATCHERS = 256;
/** How far the positions of such watchers may lie apart, in revisions: about what a page holds. */
const COHORT_SPAN = 4096;

const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5000;

/** What becomes of a watcher that has been served. */
export interface CatchUpHost {
  /** The watcher was offered everything up to the current revision. */
  join(watcher: Watcher): void;
  /** History from `watcher.next` on is gone. */
  cancelCompacted(watcher: Watcher): void;
  /** The watcher's stream is full. */
  hold(watcher: Watcher): void;
  /** History cannot be read: the watcher's stream has to end. */
  unreadable(watcher: Watcher): void;
}

/** Watchers that are served one page each, in the order of their positions. */
class Cohort {
  /** Members before it are done. */
  at = 0;
  page: HistoryPage | undefined = undefined;
  /** Failed reads in a row. */
  attempts = 0;

  constructor(readonly members: readonly Watcher[], readonly prevKv: boolean) {}
}

/**
 * Feeds the watchers that are behind from history until they have caught up.
 *
 *   queue ──▶ cohorts ──▶ a page of events ──▶ each member served once ──▶ caught up, full or gone
 *     ▲        (read, wait or try again)                 │
 *     └──────────────── still behind ────────────────────┘
 *
 * Watchers wait in a queue and get one page each per round, so that one that is far behind does not hold
 * the others up. Those with close positions share pages; those that want previous values, which may have
 * to be fetched, are kept apart from those that do not. Work per turn of the event loop is bounded.
 *
 * Invariant: a watcher with `isQueued` is in the queue or in one cohort, and in one place of it.
 * Between the last page and `join` there is no await, so that no commit falls in between.
 */
export class CatchUp {
  #queue: Watcher[] = [];
  #cohorts: Cohort[] = [];
  /** Cohorts that were read for, or served in part. */
  readonly #ready: Cohort[] = [];
  #reads = 0;
  #isScheduled = false;
  #isClosed = false;

  constructor(
    readonly source: EventSource,
    readonly encoder: ResponseEncoder,
    readonly host: CatchUpHost,
    readonly clock: Clock,
    readonly log: Logger,
    readonly options: WatchOptions,
  ) {}

  /** Takes in a watcher that is behind, unless it is here already. */
  enqueue(watcher: Watcher): void {
    if (watcher.isQueued || watcher.state !== WatcherState.Behind) return;
    watcher.isQueued = true;
    this.#queue.push(watcher);
    this.#schedule();
  }

  /** Serves nobody any more. */
  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#cohorts = [];
    this.#ready.length = 0;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#turn());
  }

  #turn(): void {
    let work = 0;
    while (work < TURN_WORK) {
      const cohort = this.#next();
      if (cohort === undefined) {
        this.#isScheduled = false;
        return;
      }
      work += this.#advance(cohort, TURN_WORK - work);
    }
    this.clock.after(0, () => this.#turn());
  }

  #next(): Cohort | undefined {
    const ready = this.#ready.shift();
    if (ready !== undefined) return ready;
    if (this.#reads >= this.options.maxCatchUpReads) return undefined;
    if (this.#cohorts.length === 0) this.#formCohorts();
    return this.#cohorts.shift();
  }

  #formCohorts(): void {
    const pass: Watcher[] = [];
    for (const watcher of this.#queue.splice(0, PASS_WATCHERS)) {
      if (watcher.state === WatcherState.Behind) pass.push(watcher);
      else watcher.isQueued = false;
    }
    pass.sort((a, b) =>
      Number(a.group.prevKv) - Number(b.group.prevKv) || a.next - b.next
    );
    for (let first = 0, end = 0; first < pass.length; first = end) {
      const { next, group: { prevKv } } = pass[first]!;
      while (
        end < pass.length && end - first < COHORT_WATCHERS &&
        pass[end]!.group.prevKv === prevKv &&
        pass[end]!.next - next <= COHORT_SPAN
      ) end++;
      this.#cohorts.push(new Cohort(pass.slice(first, end), prevKv));
    }
  }

  /** Serves members until they are through, have to wait, or the work is done; returns the work. */
  #advance(cohort: Cohort, budget: number): number {
    let work = 0;
    while (work < budget) {
      const lead = this.#lead(cohort);
      if (lead === undefined) return work;
      const page = cohort.page;
      if (page === undefined || page.through < lead.next) {
        if (!this.#turnPage(cohort, lead)) return work;
        work += cohort.page!.work;
      } else {
        work += this.#serve(page, lead);
        cohort.at++;
      }
    }
    this.#ready.unshift(cohort);
    return work;
  }

  /** The first member that has something to read; those before it are taken care of. */
  #lead(cohort: Cohort): Watcher | undefined {
    const { members } = cohort;
    for (; cohort.at < members.length; cohort.at++) {
      const watcher = members[cohort.at]!;
      if (watcher.state === WatcherState.Behind) {
        if (watcher.next < this.source.compactRevision) {
          this.host.cancelCompacted(watcher);
        } else if (watcher.next > this.source.currentRevision) {
          this.host.join(watcher);
        } else if (watcher.stream.isFull) {
          this.host.hold(watcher);
        } else return watcher;
      }
      watcher.isQueued = false;
    }
    return undefined;
  }

  /** Sends a watcher what the page has for it. */
  #serve(page: HistoryPage, watcher: Watcher): number {
    const before = page.work;
    const { group } = watcher;
    const responses = page.responses(group, watcher.next, this.encoder);
    let work = WATCHER_WORK + page.work - before;
    let resume = 0;
    if (responses !== undefined) {
      work += responses.bytes / BYTES_PER_WORK;
      watcher.isQuiet = false;
      resume = watcher.stream.deliver(responses);
    }
    watcher.isQueued = false;
    if (watcher.state !== WatcherState.Behind) return work;
    watcher.next = resume === 0 ? page.through + 1 : resume;
    if (resume !== 0) this.host.hold(watcher);
    else if (watcher.next > this.source.currentRevision) {
      this.host.join(watcher);
    } else this.enqueue(watcher);
    return work;
  }

  /** Gets the page for the lead; false if the cohort has to wait for it. */
  #turnPage(cohort: Cohort, lead: Watcher): boolean {
    cohort.page = undefined;
    try {
      const page = this.source.eventsAfter(
        lead.next - 1,
        this.options.catchUpBytes,
      );
      if (!(page instanceof Promise)) return this.#open(cohort, lead, page);
      this.#await(cohort, page, (arrived) => {
        if (this.#open(cohort, lead, arrived)) this.#ready.push(cohort);
      });
    } catch (error) {
      this.#failed(cohort, error);
    }
    return false;
  }

  /** Takes a page for the lead; false if previous values have to be waited for. */
  #open(cohort: Cohort, lead: Watcher, arrived: EventPage): boolean {
    if (arrived.throughRevision < lead.next) {
      throw new Error("the history that was read does not advance");
    }
    const page = new HistoryPage(arrived.events, arrived.throughRevision);
    const pending = cohort.prevKv
      ? this.source.resolvePrevious(wantedBy(cohort, page))
      : undefined;
    if (pending === undefined) {
      cohort.page = page;
      cohort.attempts = 0;
      return true;
    }
    this.#await(cohort, pending, () => {
      cohort.page = page;
      cohort.attempts = 0;
      this.#ready.push(cohort);
    });
    return false;
  }

  /** Goes on with a cohort when a read is done, has failed, or takes too long. */
  #await<T>(
    cohort: Cohort,
    promise: Promise<T>,
    proceed: (value: T) => void,
  ): void {
    let isOpen = true;
    this.#reads++;
    const settle = (how: () => void) => {
      if (!isOpen) return;
      isOpen = false;
      timer.cancel();
      this.#reads--;
      if (this.#isClosed) return;
      try {
        how();
      } catch (error) {
        this.#failed(cohort, error);
      }
      this.#schedule();
    };
    const timer = this.clock.after(
      this.options.readTimeoutMs,
      () => settle(() => this.#failed(cohort, new DomainError("timeout"))),
    );
    promise.then(
      (value) => settle(() => proceed(value)),
      (error) => settle(() => this.#failed(cohort, error)),
    );
  }

  /** Tries again later; gives up on the members' streams in the end. */
  #failed(cohort: Cohort, error: unknown): void {
    const lead = cohort.members[cohort.at]!;
    const isCompacted = error instanceof DomainError &&
      error.kind === "compacted" && lead.next < this.source.compactRevision;
    if (isCompacted) {
      this.#ready.push(cohort);
      return;
    }
    cohort.attempts++;
    if (cohort.attempts >= this.options.maxReadAttempts) {
      this.log.error("cannot read history for watchers: their streams end", {
        revision: lead.next,
        error,
      });
      for (const watcher of cohort.members.slice(cohort.at)) {
        watcher.isQueued = false;
        if (watcher.state === WatcherState.Behind) {
          this.host.unreadable(watcher);
        }
      }
      return;
    }
    this.log.warn("reading history for watchers failed", {
      revision: lead.next,
      attempt: cohort.attempts,
      error,
    });
    const pauseMs = FIRST_PAUSE_MS * 2 ** (cohort.attempts - 1);
    this.clock.after(Math.min(pauseMs, MAX_PAUSE_MS), () => {
      if (this.#isClosed) return;
      this.#ready.push(cohort);
      this.#schedule();
    });
  }
}

/** The events of a page whose previous values some member of the cohort needs, in order. */
function wantedBy({ members, at }: Cohort, page: HistoryPage) {
  const interests = new Set(
    members.slice(at).filter((w) => w.next <= page.through).map((w) =>
      w.group.interest
    ),
  );
  if (interests.size === 1) {
    const [only] = interests;
    return page.matching(only!);
  }
  const wanted = new Set(
    [...interests].flatMap((interest) => page.matching(interest)),
  );
  return page.events.filter((event) => wanted.has(event));
}
