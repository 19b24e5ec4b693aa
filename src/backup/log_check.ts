import type { StoreFile } from "../backend/driver/sqlite/store_file.ts";
import { SCHEMA_VERSION_KEY } from "../backend/schema_version.ts";
import { StateKind } from "../backend/state_change.ts";
import { equalBytes } from "../base/bytes.ts";
import { keyName } from "./row_names.ts";
import type { Violations } from "./violation.ts";

/** An attempt's id. */
const ID_BYTES = 16;
/** What an empty store's first batch begins with. */
const FIRST = { seq: 1, revision: 2 };

/**
 * Checks that the batches follow one another, and that the state that they left is what the tables hold.
 * Returns how many there are; old ones may be forgotten.
 */
export function checkLog(file: StoreFile, violations: Violations): number {
  let count = 0;
  let next = FIRST;
  const lastChanges = new Map<string, StateEntry>();
  for (const batch of file.batches()) {
    const { seq, firstRev, lastRev } = batch;
    const name = `batch ${seq}`;
    const isFirstKept = count++ === 0;
    if (batch.idBytes !== ID_BYTES) {
      violations.add(
        "batch-malformed",
        `${name}: its id has ${batch.idBytes} bytes`,
      );
    }
    if (batch.state === undefined) {
      violations.add("batch-malformed", `${name}: its state cannot be read`);
    }
    if (firstRev > lastRev + 1 || firstRev < FIRST.revision) {
      violations.add(
        "batch-revisions",
        `${name}: it goes from revision ${firstRev} to ${lastRev}`,
      );
    }
    const isAnyStart = isFirstKept && seq > FIRST.seq;
    if (seq !== next.seq && !isAnyStart) {
      violations.add("batch-gap", `${name}: ${next.seq} was to come next`);
    } else if (firstRev !== next.revision && !isAnyStart) {
      violations.add(
        "batch-revisions",
        `${name}: it begins at ${firstRev}, where ${next.revision} was to come next`,
      );
    }
    next = { seq: seq + 1, revision: lastRev + 1 };
    for (const { kind, key, value } of batch.state ?? []) {
      lastChanges.set(nameOf(kind, key), { kind, key, value });
    }
  }
  checkState(file, lastChanges, violations);
  return count;
}

interface StateEntry {
  readonly kind: StateKind;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

function checkState(
  file: StoreFile,
  lastChanges: ReadonlyMap<string, StateEntry>,
  violations: Violations,
): void {
  const stored = new Map<string, Uint8Array>();
  for (const kind of Object.values(StateKind)) {
    for (const { key, value } of file.state(kind)) {
      stored.set(nameOf(kind, key), value);
    }
  }
  for (const [name, { kind, key, value }] of lastChanges) {
    const isVersion = kind === StateKind.Meta &&
      equalBytes(key, SCHEMA_VERSION_KEY);
    if (isVersion || same(stored.get(name), value)) continue;
    violations.add(
      "state-mismatch",
      `${TABLE_NAMES[kind]} ${
        keyName(key)
      }: it is not what the newest batches say`,
    );
  }
}

const TABLE_NAMES: Readonly<Record<StateKind, string>> = {
  [StateKind.Meta]: "stele_meta",
  [StateKind.Lease]: "stele_lease",
  [StateKind.Auth]: "stele_auth",
  [StateKind.Alarm]: "stele_alarm",
};

function nameOf(kind: StateKind, key: Uint8Array): string {
  return `${kind}/${String.fromCharCode(...key)}`;
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b);
}
