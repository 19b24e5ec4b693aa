import type {
  ReplicaRow,
  ReplicaTable,
  Roster,
  SequencerClaim,
} from "../../src/backend/replica_table.ts";
import type { Clock } from "../../src/base/clock.ts";

interface Seen {
  readonly row: ReplicaRow;
  readonly seenMs: number;
}

/** What `FakeReplicaTable` does with the next calls. */
export interface TableFaults {
  /** Calls fail, and nothing is done. */
  isAway: boolean;
  /** What is asked is done, and the answer lost. */
  losesAnswers: boolean;
  /** Awaited before a call is done, and after. */
  before: (() => Promise<void>) | undefined;
  after: (() => Promise<void>) | undefined;
}

/** The roster of a database whose clock is a test's. Each server has its own view of it, with faults of its own. */
export class FakeReplicaTable {
  readonly rows = new Map<bigint, Seen>();
  claim: { id: bigint; incarnation: bigint; untilMs: number } | undefined;
  announcements = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One server's way to it. */
  connect(): ReplicaTable & TableFaults {
    const call = async <T>(faults: TableFaults, work: () => T): Promise<T> => {
      await faults.before?.();
      if (faults.isAway) throw new Error("database is away");
      const result = work();
      await faults.after?.();
      if (faults.losesAnswers) throw new Error("answer was lost");
      return result;
    };
    const connection: ReplicaTable & TableFaults = {
      isAway: false,
      losesAnswers: false,
      before: undefined,
      after: undefined,
      announce: (self, claim) =>
        call(connection, () => this.#announce(self, claim)),
      retire: (id, incarnation) =>
        call(connection, () => this.#retire(id, incarnation)),
    };
    return connection;
  }

  #announce(self: ReplicaRow, claim: SequencerClaim | undefined): Roster {
    this.announcements++;
    const now = this.#clock.monotonicMs();
    this.rows.set(self.incarnation, { row: self, seenMs: now });
    const held = this.claim;
    if (claim !== undefined) {
      const isOurs = held?.id === self.id &&
        held.incarnation === self.incarnation;
      if (held === undefined || isOurs || held.untilMs <= now) {
        const { id, incarnation } = self;
        this.claim = { id, incarnation, untilMs: now + claim.ttlMs };
      }
    }
    const replicas = [...this.rows.values()]
      .map(({ row, seenMs }) => ({ ...row, ageMs: now - seenMs }))
      .sort((a, b) => a.id < b.id ? -1 : a.id > b.id ? 1 : a.ageMs - b.ageMs);
    const sequencer = this.claim && {
      id: this.claim.id,
      incarnation: this.claim.incarnation,
      leftMs: this.claim.untilMs - now,
    };
    return { replicas, sequencer };
  }

  #retire(id: bigint, incarnation: bigint): void {
    this.rows.delete(incarnation);
    const held = this.claim;
    if (held?.id === id && held.incarnation === incarnation) {
      this.claim = undefined;
    }
  }
}
