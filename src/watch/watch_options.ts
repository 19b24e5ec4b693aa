/** The tunables of a `WatchHub`: each number is a bound. */
export interface WatchOptions {
  /** How often a watcher that asked for it is told the revision while nothing happens; up to a tenth more. */
  readonly progressIntervalMs: number;
  /**
   * Unread bytes from which on a stream gets no events: it then reads history as fast as it drains. Not
   * below 64 KiB, where a writer tells that it has drained. One more response may be queued beyond it.
   */
  readonly maxStreamBufferBytes: number;
  /** Bytes of answers to a client that asks beyond `maxStreamBufferBytes` without reading; then its stream ends. */
  readonly maxUnreadControlBytes: number;
  /** Watchers of one stream; each costs about 1 KB of memory. */
  readonly maxWatchersPerStream: number;
  /** Revisions share a response up to this size; a larger revision has one of its own. */
  readonly maxResponseBytes: number;
  /** Where watchers that ask for fragments have large revisions cut: etcd's max-request-bytes + 512 KiB. */
  readonly fragmentBytes: number;
  /** History read at once; shared by the watchers that it serves. */
  readonly catchUpBytes: number;
  /** Reads of history that wait for the backend at once: others need its connections, too. */
  readonly maxCatchUpReads: number;
  /** A read of history that takes longer counts as failed. */
  readonly readTimeoutMs: number;
  /** Failed reads in a row, the pauses between them doubling, after which the streams that wait for them end. */
  readonly maxReadAttempts: number;
  /** In [0, 1); spreads the progress notices. */
  readonly random: () => number;
}

export const DEFAULT_WATCH_OPTIONS: WatchOptions = {
  progressIntervalMs: 10 * 60 * 1000,
  maxStreamBufferBytes: 1 << 20,
  maxUnreadControlBytes: 256 << 10,
  maxWatchersPerStream: 1 << 17,
  maxResponseBytes: 1 << 20,
  fragmentBytes: 2 << 20,
  catchUpBytes: 256 << 10,
  maxCatchUpReads: 4,
  readTimeoutMs: 30_000,
  maxReadAttempts: 8,
  random: Math.random,
};
