import type { AppendOutcome, Batch } from "../../../src/backend/backend.ts";
import { StateKind } from "../../../src/backend/state_change.ts";
import { assert } from "../../../src/base/assert.ts";
import { equalBytes, utf8 } from "../../../src/base/bytes.ts";
import { batchOf, type Row } from "../../support/batches.ts";
import type { Random } from "../../support/random.ts";
import type { BatchLedger } from "./batch_ledger.ts";

/** What a replica needs of a backend. */
export interface SharedLog {
  append(batch: Batch): Promise<AppendOutcome>;
  batchIdAt(seq: number): Promise<Uint8Array | undefined>;
  batchesAfter(
    seq: number,
    limit: number,
  ): Promise<readonly Omit<Batch, "state">[]>;
}

/**
 * One of several servers that append to the same log: it knows the log up to a batch and competes for the next.
 * When it loses, or does not learn what became of its batch, it reads what it has missed.
 */
export class Replica {
  readonly #name: string;
  readonly #log: SharedLog;
  readonly #ledger: BatchLedger;
  readonly #random: Random;
  #seq = 0;
  #revision = 1;
  #versions = 0;

  constructor(
    name: string,
    log: SharedLog,
    ledger: BatchLedger,
    random: Random,
  ) {
    this.#name = name;
    this.#log = log;
    this.#ledger = ledger;
    this.#random = random;
  }

  /** Appends until the log is that long. */
  async appendUntil(seq: number): Promise<void> {
    while (this.#seq < seq) await this.#appendOne();
  }

  async #appendOne(): Promise<void> {
    const batch = this.#batch();
    const { id, lastRev } = batch;
    this.#ledger.tried(batch);
    let outcome: AppendOutcome | undefined;
    try {
      outcome = await this.#log.append(batch);
    } catch (error) {
      this.#ledger.failed(error);
      outcome = await this.#settle(batch.seq, id);
    }
    if (outcome !== undefined) this.#ledger.answered(id, outcome);
    if (outcome === "committed") {
      this.#seq++;
      this.#revision = lastRev;
    } else await this.#catchUp();
  }

  /** Undefined: it may still come. */
  async #settle(
    seq: number,
    id: Uint8Array,
  ): Promise<AppendOutcome | undefined> {
    const found = await this.#insist(() => this.#log.batchIdAt(seq));
    if (found === undefined) return undefined;
    return equalBytes(found, id) ? "committed" : "conflict";
  }

  async #catchUp(): Promise<void> {
    const found = await this.#insist(() =>
      this.#log.batchesAfter(this.#seq, PAGE)
    );
    for (const { seq, id, firstRev, lastRev, rows } of found) {
      assert(seq === this.#seq + 1, "the log has a gap");
      assert(firstRev === this.#revision + 1, "revisions have a gap");
      this.#ledger.seen(seq, id, rows);
      this.#seq = seq;
      this.#revision = lastRev;
    }
  }

  /** Reads are tried until they succeed: nothing can be written before. */
  async #insist<T>(read: () => Promise<T>): Promise<T> {
    for (let failures = 0;; failures++) {
      try {
        return await read();
      } catch (error) {
        this.#ledger.failed(error);
        if (failures === MAX_READ_FAILURES) throw error;
        // A database that counts as away is asked once a second.
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
  }

  #batch(): Batch {
    const random = this.#random;
    const valueBytes = random.oneIn(50) ? 300_000 : random.int(2000);
    const count = random.oneIn(10) ? 0 : 1 + random.int(20);
    const rows: Row[] = [];
    for (let i = 1; i <= count; i++) {
      const rev = this.#revision + i;
      const key = utf8(`${this.#name}/${random.int(100)}`);
      const value = new Uint8Array(i === 1 ? valueBytes : valueBytes % 500);
      crypto.getRandomValues(value.subarray(0, 64));
      const put = { value, createRev: rev, version: 1, lease: BigInt(i) };
      rows.push({ rev, sub: 0, key, put });
    }
    const state = random.oneIn(4) ? [this.#change()] : [];
    return batchOf(
      { seq: this.#seq + 1, afterRev: this.#revision },
      rows,
      state,
    );
  }

  #change() {
    const key = utf8(`shared/${this.#random.int(5)}`);
    const value = this.#random.oneIn(3)
      ? undefined
      : utf8(`${this.#name} ${++this.#versions}`);
    return { kind: StateKind.Lease, key, value };
  }
}

const PAGE = 50;
const MAX_READ_FAILURES = 80;
