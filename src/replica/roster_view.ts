import type { Roster, RosterEntry } from "../backend/replica_table.ts";

/** Whoever has been silent for longer is not listed: five heartbeats and a slow database. */
const LISTED_MS = 10_000;

/** What the last announcement brought back, and when, by this process' own reckoning of time. */
export class RosterView {
  readonly #roster: Roster;
  readonly #receivedMs: number;

  /** `receivedMs` is monotonic. */
  constructor(roster: Roster, receivedMs: number) {
    this.#roster = roster;
    this.#receivedMs = receivedMs;
  }

  /** Those that are there, each once, in order of id. */
  replicas(nowMs: number): RosterEntry[] {
    const sinceMs = nowMs - this.#receivedMs;
    const listed: RosterEntry[] = [];
    // The youngest of those that have one id comes first.
    for (const entry of this.#roster.replicas) {
      const isListed = entry.ageMs + sinceMs <= LISTED_MS;
      if (isListed && listed.at(-1)?.id !== entry.id) listed.push(entry);
    }
    return listed;
  }

  /** Milliseconds until the claim runs out; 0 if it has, or there is none. */
  claimLeftMs(nowMs: number): number {
    const leftMs = this.#roster.sequencer?.leftMs ?? 0;
    return Math.max(0, this.#receivedMs + leftMs - nowMs);
  }

  /** Whose claim holds. */
  sequencer(nowMs: number): RosterEntry | undefined {
    const holder = this.#roster.sequencer;
    if (holder === undefined || this.claimLeftMs(nowMs) === 0) return undefined;
    return this.#roster.replicas.find(({ id, incarnation }) =>
      id === holder.id && incarnation === holder.incarnation
    );
  }

  /** Whether the claim was that of this process, run out or not. */
  isClaimOf(id: bigint, incarnation: bigint): boolean {
    const holder = this.#roster.sequencer;
    return holder?.id === id && holder.incarnation === incarnation;
  }

  /** Another process that announced itself under the same id not long ago. */
  rival(
    id: bigint,
    { incarnation, youngerThanMs }: {
      incarnation: bigint;
      youngerThanMs: number;
    },
  ): RosterEntry | undefined {
    return this.#roster.replicas.find((entry) =>
      entry.id === id && entry.incarnation !== incarnation &&
      entry.ageMs < youngerThanMs
    );
  }
}
