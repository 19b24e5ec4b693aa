import {
  FORGET_AFTER_MS,
  MAX_CLAIM_MS,
  type ReplicaRow,
  type Roster,
} from "../../replica_table.ts";
import { assert } from "../../../base/assert.ts";
import type { ReplicaDialect } from "./replica_dialect.ts";

/** Makes one attempt, in time. */
export type Attempt = <T>(attempt: () => Promise<T>) => Promise<T>;

/**
 * The servers that share the database, inside the worker. Nothing is tried again here: an announcement that comes
 * late is worth nothing, and the next one is due soon.
 */
export class ReplicaRoster {
  readonly #dialect: ReplicaDialect;
  readonly #attempt: Attempt;

  constructor(dialect: ReplicaDialect, attempt: Attempt) {
    this.#dialect = dialect;
    this.#attempt = attempt;
  }

  async announce(self: ReplicaRow, claimMs: number): Promise<Roster> {
    assert(claimMs >= 0 && claimMs < MAX_CLAIM_MS, "claim is short");
    const roster = await this.#attempt(() =>
      this.#dialect.announce(self, claimMs)
    );
    const isOld = ({ ageMs }: { ageMs: number }) => ageMs > FORGET_AFTER_MS;
    if (roster.replicas.some(isOld)) {
      // If it fails, the next announcement sees them again.
      const forget = () => this.#dialect.forget(FORGET_AFTER_MS);
      await this.#attempt(forget).catch(() => {});
    }
    return roster;
  }

  retire(id: bigint, incarnation: bigint): Promise<void> {
    return this.#attempt(() => this.#dialect.retire(id, incarnation));
  }
}
