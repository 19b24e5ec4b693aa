/** Compacts by itself, by a policy. */
export interface Compactor {
  start(): void;
  /** Starts no further compaction; one that is under way goes on. */
  stop(): void;
}

/** What a compactor needs of the store. */
export interface CompactionTarget {
  readonly currentRevision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  compact(revision: number): Promise<void>;
}
