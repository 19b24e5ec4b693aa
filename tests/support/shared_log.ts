import type { AppendOutcome, Batch, Head } from "../../src/backend/backend.ts";
import { MemoryBackend } from "../../src/backend/memory.ts";
import type { StateChange, StateKind } from "../../src/backend/state_change.ts";
import { FaultyBackend } from "./faulty_backend.ts";

/** One log in memory that several replicas write to. */
export class SharedLog {
  readonly memory = new MemoryBackend();
  readonly #replicas: SharedBackend[] = [];

  /** Another replica's way to the log. */
  replica(): SharedBackend {
    const replica = new SharedBackend(this);
    this.#replicas.push(replica);
    return replica;
  }

  /** Tells all replicas but the one that wrote. */
  announce(from: SharedBackend, seq: number): void {
    for (const replica of this.#replicas) {
      if (replica !== from && replica.hears) replica.announceCommit(seq);
    }
  }
}

/** What a replica has of a shared log; it hears at once of what others append unless `hears` is false. */
export class SharedBackend extends FaultyBackend {
  hears = true;

  constructor(readonly log: SharedLog) {
    super(log.memory, { isExclusive: false });
  }

  override async append(batch: Batch): Promise<AppendOutcome> {
    const outcome = await super.append(batch);
    if (outcome === "committed") this.log.announce(this, batch.seq);
    return outcome;
  }

  override async head(): Promise<Head> {
    const head = await super.head();
    const id = await this.log.memory.batchIdAt(head.seq);
    return id === undefined ? head : { ...head, id };
  }

  async stateOf(kind: StateKind): Promise<StateChange[]> {
    const found: StateChange[] = [];
    const state = (change: StateChange) => {
      if (change.kind === kind) found.push(change);
    };
    await this.log.memory.load({ state, rows: () => {} });
    return found;
  }

  /** The log is the others' too. */
  override close(): Promise<void> {
    return Promise.resolve();
  }
}
