import { StateKind, type StateTable } from "../backend/state_change.ts";
import { equalBytes, text, utf8 } from "../base/bytes.ts";
import type { WriteTx } from "./write_batch.ts";

const SEQUENCER_KEY = utf8("sequencer");

/**
 * Which replica is in charge of what only one may do: ending leases that ran out, and removing compacted rows.
 * State kind Meta, key `sequencer`, the replica's name for itself. Written by a replica that takes over, before it
 * does any of that.
 *
 * It is a fence: a write that looks at it while it is evaluated is not made if another replica has taken over, however
 * long its maker stood still before.
 */
export class SequencerEntry implements StateTable {
  #holder = "";

  /** Empty: nobody yet. */
  get holder(): string {
    return this.#holder;
  }

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    if (!equalBytes(key, SEQUENCER_KEY)) return;
    this.#holder = value === undefined ? "" : text(value);
  }

  /** Whether `name` is in charge when this write is made. */
  isHeldIn(tx: Pick<WriteTx, "pendingState">, name: string): boolean {
    const pending = tx.pendingState(StateKind.Meta, SEQUENCER_KEY);
    if (pending === null) return this.#holder === name;
    return pending !== undefined && text(pending) === name;
  }

  /** Puts `name` in charge. */
  take(tx: Pick<WriteTx, "putState">, name: string): void {
    tx.putState(StateKind.Meta, SEQUENCER_KEY, utf8(name));
  }
}
