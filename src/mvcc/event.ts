/**
 * One committed change of a key, as watchers see it. Encoded at most once in each of its two shapes,
 * for all its watchers.
 */
export interface Event {
  readonly rev: number;
  readonly sub: number;
  readonly deleted: boolean;
  readonly key: Uint8Array;
  /** Wire bytes of `mvccpb.Event` without `prev_kv`. */
  readonly wire: Uint8Array;
  /**
   * Wire bytes of `mvccpb.Event` with `prev_kv` where there was one. Undefined as long as the previous
   * value is not in memory: `EventSource.resolvePrevious` brings it.
   */
  readonly wireWithPrevious: Uint8Array | undefined;
}

/** Told of commits, synchronously, in order, after they are durable and applied and before the callers are answered. */
export interface CommitListener {
  /** All events of one batch: whole revisions, ordered by (rev, sub). `revision` is the store's new current one. */
  committed(events: readonly Event[], revision: number): void;
  /** Everything below `compactRevision` is gone for readers. */
  compacted(compactRevision: number): void;
}

/** Where watchers that are behind catch up from. Implemented by the store. */
export interface EventSource {
  /** The revision of the newest commit. */
  readonly currentRevision: number;
  /** Reads below it fail; -1 before the first compaction. */
  readonly compactRevision: number;
  /**
   * Events with revision > `rev`, whole revisions, in order: from the window in memory if it reaches
   * back that far, else from the backend. `maxBytes` bounds the page (one revision at least).
   * `throughRevision` is the last revision that the page covers: with fewer events than that it still
   * says that there is nothing else up to there. Rejects with DomainError "compacted" if `rev + 1` is
   * below the compact revision.
   */
  eventsAfter(rev: number, maxBytes: number): EventPage | Promise<EventPage>;
  /** Makes `wireWithPrevious` defined on all of them. Returns undefined if nothing had to be fetched. */
  resolvePrevious(events: readonly Event[]): Promise<void> | undefined;
}

export interface EventPage {
  readonly events: readonly Event[];
  readonly throughRevision: number;
}
