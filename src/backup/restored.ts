import { type StateChange, StateKind } from "../backend/state_change.ts";
import { utf8 } from "../base/bytes.ts";
import type { Identity } from "../mvcc/identity.ts";
import { COMPACT_REVISION_KEY } from "../mvcc/compact_revision.ts";

/** The store that was restored. */
export interface Restored {
  readonly revision: number;
  /** -1: never compacted. */
  readonly compactRevision: number;
  /** New ones: what is restored is another cluster than the one that the snapshot is of. */
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

/** Chooses ids for a new cluster, and returns what says so in the log. */
export function identityState(identity: Identity): StateChange[] {
  const state: StateChange[] = [];
  identity.choose({
    putState(kind, key, value) {
      state.push({ kind, key, value });
      if (value !== undefined) identity.apply(key, value);
    },
  });
  return state;
}

/** What compacts at a revision. */
export function compactChange(revision: number): StateChange {
  const value = utf8(String(revision));
  return { kind: StateKind.Meta, key: COMPACT_REVISION_KEY, value };
}
