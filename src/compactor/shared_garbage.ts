import type { RowId } from "../backend/backend.ts";
import { StateKind } from "../backend/state_change.ts";
import { utf8 } from "../base/bytes.ts";
import { REAPED_REVISION_KEY } from "../mvcc/compact_revision.ts";
import type { Store } from "../mvcc/store.ts";
import type { Garbage } from "./row_reaper.ts";

/** The other replicas, as far as removing rows has to mind them. */
export interface Followers {
  /** Whether all that are alive have applied the batch at `seq`. */
  haveApplied(seq: number): boolean;
}

/**
 * What compaction left behind, where several replicas share the rows: one of them removes them from the database, and
 * tells the others by a mark in the log, which then drop them from memory alone. So, whoever takes over in the middle
 * still knows what is left.
 *
 * Rows go only when all replicas that are alive have applied the compaction: one that is a little behind must find the
 * rows of the batches that it is to apply. One that was away for longer finds out by itself (see `LogFollower`).
 */
export class SharedGarbage implements Garbage {
  /** Set by whoever knows the role. */
  isOnDuty = false;
  readonly #store: Store;
  readonly #followers: Followers;
  /** The compact revision and where in the log it was seen first. */
  #seen = { revision: -1, seq: 0 };

  constructor(store: Store, followers: Followers) {
    this.#store = store;
    this.#followers = followers;
  }

  /** Until the others have applied the compaction. */
  isHeldBack(): boolean {
    const { compactRevision, seq } = this.#store;
    if (this.#seen.revision !== compactRevision) {
      this.#seen = { revision: compactRevision, seq };
    }
    return this.isOnDuty && !this.#followers.haveApplied(this.#seen.seq);
  }

  next(max: number): RowId[] {
    const store = this.#store;
    return this.isOnDuty
      ? store.nextGarbage(max, this.#seen.revision)
      : store.nextGarbage(max, store.reapedRevision);
  }

  async remove(rows: readonly RowId[]): Promise<void> {
    if (this.isOnDuty) await this.#store.backend.remove(rows);
  }

  busy(): boolean {
    return this.#store.queue.length > 0;
  }

  /** Tells the others; if that fails, the next compaction does. */
  emptied(): void {
    const store = this.#store;
    const { revision } = this.#seen;
    if (!this.isOnDuty || store.reapedRevision >= revision) return;
    store.write((tx) => {
      const value = utf8(String(revision));
      tx.putState(StateKind.Meta, REAPED_REVISION_KEY, value);
    }, { isOwn: true }).catch(() => {});
  }
}
