import { ByteMap } from "../base/byte_map.ts";
import { DomainError } from "../base/errors.ts";
import type { CommitListener, Event } from "../mvcc/event.ts";

/** Waits for changes of one key, or of the keys below one. End it. */
export interface KeySubscription {
  /**
   * Resolves once there was a change since the subscription began or the last call resolved. Rejects with
   * DomainError "canceled" when the signal aborts, "stopped" when the server stops.
   */
  changed(signal: AbortSignal): Promise<void>;
  end(): void;
}

/** A change as a follower gets it. */
export interface FollowedChange {
  readonly rev: number;
  readonly deleted: boolean;
  /** Wire bytes of `mvccpb.Event`. */
  readonly wire: Uint8Array;
}

/** A subscription that keeps what happened. */
export interface KeyFollower extends KeySubscription {
  /** The changes since the last call, in order; undefined if there were more than is kept. */
  take(): FollowedChange[] | undefined;
}

/**
 * What is kept for a follower that does not read. Each owns the bytes that it is told of, unlike a watcher, which goes
 * back to the log; so this is small, and a follower that had more looks at the present instead.
 */
const MAX_KEPT_BYTES = 1 << 20;
/** What a kept change costs besides its bytes. */
const CHANGE_OVERHEAD_BYTES = 100;

const SLASH = 0x2f;

/**
 * Wakes who waits for a key to change: locks and elections. A commit costs nothing while nobody waits, and a look-up
 * for each key and each of its parents otherwise, however many wait.
 */
export class KeyChanges implements CommitListener {
  readonly #keys = new ByteMap<Set<Subscription>>();
  readonly #parents = new ByteMap<Set<Subscription>>();
  #isClosed = false;

  /** Changes of this key. */
  ofKey(key: Uint8Array): KeySubscription {
    return this.#subscribe(this.#keys, key, (end) => new Subscription(end));
  }

  /** Changes of this key, each of them. */
  follow(key: Uint8Array): KeyFollower {
    return this.#subscribe(this.#keys, key, (end) => new Follower(end));
  }

  /** Changes of all keys that begin with `parent`, which ends with a slash. */
  below(parent: Uint8Array): KeySubscription {
    return this.#subscribe(
      this.#parents,
      parent,
      (end) => new Subscription(end),
    );
  }

  committed(events: readonly Event[]): void {
    if (this.#keys.size > 0) {
      for (const event of events) wake(this.#keys.get(event.key), event);
    }
    if (this.#parents.size === 0) return;
    for (const event of events) {
      const { key } = event;
      for (let i = key.indexOf(SLASH); i >= 0; i = key.indexOf(SLASH, i + 1)) {
        wake(this.#parents.get(key.subarray(0, i + 1)), event);
      }
    }
  }

  compacted(): void {}

  /** Rejects everybody who waits. */
  close(): void {
    this.#isClosed = true;
    for (const map of [this.#keys, this.#parents]) {
      map.forEach((subscriptions) => {
        for (const each of subscriptions) each.stop();
      });
    }
  }

  #subscribe<S extends Subscription>(
    map: ByteMap<Set<Subscription>>,
    key: Uint8Array,
    make: (end: () => void) => S,
  ): S {
    if (this.#isClosed) throw new DomainError("stopped");
    const name = key.slice();
    let all = map.get(name);
    if (all === undefined) map.set(name, all = new Set());
    const subscription = make(() => {
      all.delete(subscription);
      if (all.size === 0 && map.get(name) === all) map.delete(name);
    });
    all.add(subscription);
    return subscription;
  }
}

function wake(
  subscriptions: Set<Subscription> | undefined,
  event: Event,
): void {
  if (subscriptions === undefined) return;
  for (const each of subscriptions) each.wake(event);
}

class Subscription implements KeySubscription {
  #isDirty = false;
  #isStopped = false;
  #waiting: PromiseWithResolvers<void> | undefined = undefined;

  constructor(readonly end: () => void) {}

  async changed(signal: AbortSignal): Promise<void> {
    if (this.#isStopped) throw new DomainError("stopped");
    if (signal.aborted) throw new DomainError("canceled");
    if (!this.#isDirty) {
      const waiting = this.#waiting = Promise.withResolvers<void>();
      const onAbort = () => waiting.reject(new DomainError("canceled"));
      signal.addEventListener("abort", onAbort);
      try {
        await waiting.promise;
      } finally {
        this.#waiting = undefined;
        signal.removeEventListener("abort", onAbort);
      }
    }
    this.#isDirty = false;
  }

  wake(_event: Event): void {
    this.#isDirty = true;
    this.#waiting?.resolve();
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting?.reject(new DomainError("stopped"));
  }
}

class Follower extends Subscription implements KeyFollower {
  #kept: FollowedChange[] | undefined = [];
  #keptBytes = 0;

  /** The wire bytes are asked for at once: later, memory may have let the record go. */
  override wake(event: Event): void {
    if (this.#kept !== undefined) {
      const { rev, deleted, wire } = event;
      this.#keptBytes += wire.length + CHANGE_OVERHEAD_BYTES;
      if (this.#kept.length === 0 || this.#keptBytes <= MAX_KEPT_BYTES) {
        this.#kept.push({ rev, deleted, wire });
      } else this.#kept = undefined;
    }
    super.wake(event);
  }

  take(): FollowedChange[] | undefined {
    const kept = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    return kept;
  }
}
