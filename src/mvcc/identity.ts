import { StateKind, type StateTable } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { text, utf8 } from "../base/bytes.ts";
import type { WriteTx } from "./write_batch.ts";

const CLUSTER_ID = "cluster_id";
const MEMBER_ID = "member_id";
const SECRET = "replica_secret";
const SECRET_BYTES = 32;

/**
 * Who this cluster and its member are: random ids that are chosen at the first start and stay with the data.
 * State kind Meta, keys `cluster_id` and `member_id`, values in decimal; and `replica_secret`, 32 bytes in hexadecimal,
 * by which the replicas of one database know each other.
 */
export class Identity implements StateTable {
  #clusterId: bigint | undefined = undefined;
  #memberId: bigint | undefined = undefined;
  #secret: Uint8Array<ArrayBuffer> | undefined = undefined;

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    if (value === undefined) return;
    const name = text(key);
    if (name === CLUSTER_ID) this.#clusterId = readId(value);
    else if (name === MEMBER_ID) this.#memberId = readId(value);
    else if (name === SECRET) this.#secret = Uint8Array.fromHex(text(value));
  }

  get isKnown(): boolean {
    return this.#clusterId !== undefined && this.#memberId !== undefined &&
      this.#secret !== undefined;
  }

  get clusterId(): bigint {
    assert(this.#clusterId !== undefined, "the cluster has an id");
    return this.#clusterId;
  }

  get memberId(): bigint {
    assert(this.#memberId !== undefined, "the member has an id");
    return this.#memberId;
  }

  /** What only the replicas of this database know. */
  get secret(): Uint8Array<ArrayBuffer> {
    assert(this.#secret !== undefined, "the cluster has a secret");
    return this.#secret;
  }

  /** Chooses what a new store has not yet, unless another replica has done so meanwhile. */
  choose(tx: Pick<WriteTx, "putState">): void {
    const choose = (name: string, value: string) =>
      tx.putState(StateKind.Meta, utf8(name), utf8(value));
    if (this.#clusterId === undefined) choose(CLUSTER_ID, randomId());
    if (this.#memberId === undefined) choose(MEMBER_ID, randomId());
    if (this.#secret === undefined) {
      const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
      choose(SECRET, secret.toHex());
    }
  }
}

function readId(value: Uint8Array): bigint {
  const id = BigInt(text(value));
  assert(id > 0n && id < 1n << 64n, "an id has 64 bits and is not zero");
  return id;
}

/** Not zero, and positive where a client reads it as a signed number. */
function randomId(): string {
  const [random] = crypto.getRandomValues(new BigUint64Array(1));
  return String(BigInt.asUintN(63, random! | 1n));
}
