import assert from "node:assert/strict";
import type {
  AppendOutcome,
  Backend,
  Batch,
} from "../../../src/backend/backend.ts";
import type { StateChange } from "../../../src/backend/state_change.ts";
import { concatBytes, equalBytes, text } from "../../../src/base/bytes.ts";

/**
 * Every batch that some replica tried to append, and what it was told of it.
 *
 * `check` holds that against the database: what was acknowledged is there exactly once, what was refused is not
 * there, and nothing is there that nobody tried.
 */
export class BatchLedger {
  readonly #tried = new Map<string, Attempt>();
  readonly #seenAt = new Map<number, string>();
  /** Calls that failed, by message. */
  readonly failures = new Map<string, number>();

  tried({ id, seq, rows, state }: Batch): void {
    this.#tried.set(id.toHex(), { seq, rows: rows.slice(), state });
  }

  answered(id: Uint8Array, outcome: AppendOutcome): void {
    const attempt = this.#tried.get(id.toHex())!;
    attempt.outcome = outcome;
    if (outcome === "committed") this.#sawAt(attempt.seq, id.toHex());
  }

  failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const kind = message.replaceAll(/\d+/g, "N");
    this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1);
  }

  /** A replica read a batch of whomever. */
  seen(seq: number, id: Uint8Array, rows: Uint8Array): void {
    const attempt = this.#tried.get(id.toHex());
    assert(attempt !== undefined, `nobody appended batch ${seq}`);
    assert(equalBytes(attempt.rows, rows), `batch ${seq} has other rows`);
    this.#sawAt(seq, id.toHex());
  }

  /** Attempts with each answer; `unknown` for those without. */
  get outcomes(): { committed: number; conflict: number; unknown: number } {
    const counts = { committed: 0, conflict: 0, unknown: 0 };
    for (const { outcome } of this.#tried.values()) {
      counts[outcome ?? "unknown"]++;
    }
    return counts;
  }

  /** `backend` is open, and reaches the database without faults. */
  async check(backend: Backend): Promise<void> {
    const log = await this.#readLog(backend);
    for (const [id, { seq, outcome }] of this.#tried) {
      const isThere = log.some((batch) => batch.id.toHex() === id);
      if (outcome === "committed") assert(isThere, `lost: batch ${seq}`);
      if (outcome === "conflict") {
        assert(!isThere, `batch ${seq} was committed after all`);
      }
    }
    const rows = concatBytes(...log.map((batch) => batch.rows));
    const stored = await backend.eventsAfter(0, Number.MAX_SAFE_INTEGER);
    assert(equalBytes(stored, rows), "the rows are not those of the batches");
    assert.deepEqual(await loadedState(backend), stateAfter(log));
  }

  async #readLog(backend: Backend): Promise<Batch[]> {
    const log: Batch[] = [];
    let revision = 1;
    for (;;) {
      const found = await backend.batchesAfter(log.length, 500);
      if (found.length === 0) break;
      for (const batch of found) {
        const { seq, id, firstRev, lastRev, rows, state } = batch;
        assert.equal(seq, log.length + 1);
        assert.equal(firstRev, revision + 1);
        revision = lastRev;
        this.seen(seq, id, rows);
        assert.deepEqual(state, this.#tried.get(id.toHex())!.state);
        log.push(batch);
      }
    }
    const head = await backend.head();
    assert.deepEqual([head.seq, head.revision], [log.length, revision]);
    return log;
  }

  #sawAt(seq: number, id: string): void {
    assert.equal(this.#tried.get(id)!.seq, seq);
    const before = this.#seenAt.get(seq);
    assert(before === undefined || before === id, `two batches ${seq}`);
    this.#seenAt.set(seq, id);
  }
}

interface Attempt {
  readonly seq: number;
  readonly rows: Uint8Array;
  readonly state: readonly StateChange[];
  outcome?: AppendOutcome;
}

async function loadedState(backend: Backend): Promise<Map<string, string>> {
  const state = new Map<string, string>();
  await backend.load({ state: (change) => applyTo(state, change), rows() {} });
  return state;
}

function stateAfter(log: readonly Batch[]): Map<string, string> {
  const state = new Map<string, string>();
  for (const batch of log) {
    for (const change of batch.state) applyTo(state, change);
  }
  return state;
}

function applyTo(state: Map<string, string>, change: StateChange): void {
  const key = `${change.kind}:${text(change.key)}`;
  if (change.value === undefined) state.delete(key);
  else state.set(key, text(change.value));
}
