/**
 * Where the servers that share a database find each other: who is there, and which of them is the sequencer.
 *
 * Nothing here is needed for correctness: the log decides what is written. All times are the database's, so that the
 * clocks of the servers do not matter.
 */
export interface ReplicaTable {
  /**
   * Says that this server is there, and asks who else is; one round trip. With `claim`, it becomes the sequencer, or
   * stays it, for `ttlMs` from now, unless another one's claim has not run out.
   */
  announce(
    self: ReplicaRow,
    claim: SequencerClaim | undefined,
  ): Promise<Roster>;
  /** Forgets this server, and gives up its claim. */
  retire(id: bigint, incarnation: bigint): Promise<void>;
}

/** One server, as it announces itself. */
export interface ReplicaRow {
  /** 64 bits, unsigned; the same after a restart. */
  readonly id: bigint;
  /** 64 random bits of this process: tells it from one that has the same id by mistake, and from itself before. */
  readonly incarnation: bigint;
  readonly name: string;
  /** Where clients and other servers reach it. */
  readonly clientUrls: readonly string[];
  readonly version: string;
  /** The last batch that it has applied. */
  readonly appliedSeq: number;
  /** What it appends comes too late again and again: the others are to leave it gaps. */
  readonly isStarved: boolean;
}

export interface SequencerClaim {
  readonly ttlMs: number;
}

/** One server, as the others see it. */
export interface RosterEntry extends ReplicaRow {
  /** Since it announced itself last. */
  readonly ageMs: number;
}

/** Whose claim holds, or held. */
export interface ClaimHolder {
  readonly id: bigint;
  readonly incarnation: bigint;
  /** Not positive: it has run out. */
  readonly leftMs: number;
}

/** What one announcement brings back. */
export interface Roster {
  /** Everybody, oneself and those that have gone silent included, in order of id. */
  readonly replicas: readonly RosterEntry[];
  /** Undefined: nobody ever was, or the last one has retired. */
  readonly sequencer: ClaimHolder | undefined;
}

/** Who has been silent for so long is forgotten. */
export const FORGET_AFTER_MS = 3_600_000;
/** No claim is made for so long: one that runs out later was made before the database's clock was set back. */
export const MAX_CLAIM_MS = 60_000;
