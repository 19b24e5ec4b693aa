import { StateKind, type StateTable } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { text, utf8 } from "../base/bytes.ts";
import type { WriteTx } from "./write_batch.ts";

const CLUSTER_ID = "cluster_id";
const MEMBER_ID = "member_id";

/**
 * Who this cluster and its member are: random ids that are chosen at the first start and stay with the data.
 * State kind Meta, keys `cluster_id` and `member_id`, values in decimal.
 */
export class Identity implements StateTable {
  #clusterId: bigint | undefined = undefined;
  #memberId: bigint | undefined = undefined;

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    if (value === undefined) return;
    const name = text(key);
    if (name === CLUSTER_ID) this.#clusterId = BigInt(text(value));
    else if (name === MEMBER_ID) this.#memberId = BigInt(text(value));
  }

  get isKnown(): boolean {
    return this.#clusterId !== undefined && this.#memberId !== undefined;
  }

  get clusterId(): bigint {
    assert(this.#clusterId !== undefined, "the cluster has an id");
    return this.#clusterId;
  }

  get memberId(): bigint {
    assert(this.#memberId !== undefined, "the member has an id");
    return this.#memberId;
  }

  /** Chooses the ids of a new store. */
  choose(tx: WriteTx): void {
    for (const name of [CLUSTER_ID, MEMBER_ID]) {
      // Non-zero, and positive where a client reads it as a signed number.
      const id = BigInt.asUintN(
        63,
        crypto.getRandomValues(new BigUint64Array(1))[0]! | 1n,
      );
      tx.putState(StateKind.Meta, utf8(name), utf8(String(id)));
    }
  }
}
