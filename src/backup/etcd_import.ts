import {
  ENABLED_KEY,
  REVISION_KEY,
  roleKey,
  userKey,
} from "../auth/auth_record.ts";
import type { Backend } from "../backend/backend.ts";
import { openBackend } from "../backend/open.ts";
import { RecordColumns } from "../backend/record.ts";
import { MAX_SUB } from "../backend/row_block.ts";
import { RowBlockWriter } from "../backend/row_block_writer.ts";
import { type StateChange, StateKind } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { concatBytes, text, utf8 } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { encodeLeaseRecord } from "../lease/lease_record.ts";
import { AlarmOrigin } from "../mvcc/alarms.ts";
import { Identity } from "../mvcc/identity.ts";
import { leaseStateKey } from "../mvcc/lease_book.ts";
import { decodeAlarmMember } from "../pb/etcdserverpb.ts";
import { decodeKeyValue, type KeyValue } from "../pb/mvccpb.ts";
import { Reader, WireError } from "../pb/wire.ts";
import { BackupError } from "./backup_error.ts";
import { BoltFile } from "./bbolt/bolt_file.ts";
import { compactChange, identityState, type Restored } from "./restored.ts";

/** Bytes of rows in a batch; a revision that is larger is a batch of its own. */
const BATCH_BYTES = 1 << 20;

/** A revision in etcd's key bucket: main u64, `_`, sub u64, and `t` for a tombstone (mvcc/revision.go). */
const REVISION_BYTES = 17;
const TOMBSTONE_BYTES = REVISION_BYTES + 1;
const TOMBSTONE_MARK = 0x74;

export interface EtcdImportOptions {
  /** See `RestoreOptions`. */
  readonly bumpRevision: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/**
 * Makes a database, in an empty directory, of what an etcd snapshot holds: all keys with their history and
 * revisions, leases, users and roles with their passwords, alarms. What etcd knows of Raft and of its members
 * has no meaning here.
 */
export async function importEtcd(
  path: string,
  directory: string,
  options: EtcdImportOptions,
): Promise<Restored> {
  using source = BoltFile.open(path);
  // The files are synced whole before they are moved to where a server finds them.
  const backend = openBackend(`sqlite://${directory}`, {
    clock: options.clock,
    synchronous: "off",
  });
  try {
    await backend.open();
    return await new EtcdImport(source, backend, options).run();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new BackupError(
      `Cannot read "${path}": a record of etcd's is damaged: ${error.message}`,
      { cause: error },
    );
  } finally {
    await backend.close();
  }
}

class EtcdImport {
  readonly #source: BoltFile;
  readonly #backend: Backend;
  readonly #options: EtcdImportOptions;
  readonly #columns = new RecordColumns();
  #rows = new RowBlockWriter();
  #seq = 0;
  /** Of the last row that was read. */
  #revision = 1;
  /** Of the last row that was appended. */
  #appendedRevision = 1;

  constructor(source: BoltFile, backend: Backend, options: EtcdImportOptions) {
    this.#source = source;
    this.#backend = backend;
    this.#options = options;
  }

  async run(): Promise<Restored> {
    await this.#importRows();
    let compactRevision = this.#compactRevision();
    // All rows up to a compaction may be gone (mvcc/kvstore.go, restore).
    let revision = Math.max(this.#revision, compactRevision);
    const { bumpRevision } = this.#options;
    if (bumpRevision > 0) compactRevision = revision += bumpRevision;
    if (!Number.isSafeInteger(revision)) {
      throw new BackupError(
        `Cannot raise the revision by ${bumpRevision}: the sum is too large`,
      );
    }
    const identity = new Identity();
    const state = [
      ...identityState(identity),
      ...this.#leases(),
      ...this.#auth(),
      ...this.#alarms(identity.memberId),
    ];
    if (compactRevision >= 0) state.push(compactChange(compactRevision));
    await this.#append(revision, state);
    const { clusterId, memberId } = identity;
    return { revision, compactRevision, clusterId, memberId };
  }

  async #importRows(): Promise<void> {
    for (const { key, value } of this.#source.entries("key")) {
      const rev = this.#revisionOf(key);
      if (rev.main !== this.#revision) {
        if (this.#rows.byteLength >= BATCH_BYTES) {
          this.#options.signal?.throwIfAborted();
          await this.#append(this.#revision, []);
        }
        this.#revision = rev.main;
      }
      // A restore of etcd's own that raised the revision leaves a row of nothing there.
      if (value.length > 0) this.#addRow(rev, decodeKeyValue(value));
    }
  }

  #addRow(
    { main, sub, isTombstone }: EtcdRevision,
    kv: KeyValue,
  ): void {
    if (kv.key.length === 0 || (!isTombstone && kv.modRevision !== main)) {
      throw damaged(`revision ${main}/${sub} holds another`);
    }
    const columns = this.#columns;
    const lease = BigInt.asUintN(64, isTombstone ? 0n : kv.lease);
    columns.keyStart = 0;
    columns.keyEnd = columns.valueStart = kv.key.length;
    columns.valueEnd = kv.key.length + (isTombstone ? 0 : kv.value.length);
    columns.createRev = isTombstone ? 0 : kv.createRevision;
    columns.modRev = main;
    columns.version = isTombstone ? 0 : kv.version;
    columns.leaseHigh = Number(lease >> 32n);
    columns.leaseLow = Number(lease & 0xffffffffn);
    const source = concatBytes(kv.key, kv.value);
    this.#rows.add(columns, { source, sub, deleted: isTombstone });
  }

  /** -1 before the first compaction. One that was asked for and is not done yet counts: etcd would do it. */
  #compactRevision(): number {
    let compactRevision = -1;
    for (const { key, value } of this.#source.entries("meta")) {
      const name = text(key);
      if (name !== "scheduledCompactRev" && name !== "finishedCompactRev") {
        continue;
      }
      const { main } = this.#revisionOf(value);
      // etcd writes 0 for "none yet".
      if (main > 0) compactRevision = Math.max(compactRevision, main);
    }
    return compactRevision;
  }

  /** All get their whole time to live, or what a checkpoint of etcd's left of it. */
  #leases(): StateChange[] {
    const nowMs = this.#options.clock.wallMs();
    return [...this.#source.entries("lease")].map(({ value }) => {
      const { id, ttlSeconds, remainingSeconds } = decodeLease(value);
      const leftSeconds = remainingSeconds > 0 ? remainingSeconds : ttlSeconds;
      return {
        kind: StateKind.Lease,
        key: leaseStateKey(id),
        value: encodeLeaseRecord({
          ttlSeconds,
          deadlineWallMs: nowMs + leftSeconds * 1000,
          isRenewing: remainingSeconds === 0,
        }),
      };
    });
  }

  /** Users and roles are the same messages here and there; passwords are bcrypt's in both. */
  #auth(): StateChange[] {
    const kind = StateKind.Auth;
    const state: StateChange[] = [];
    for (const { key, value } of this.#source.entries("authUsers")) {
      state.push({ kind, key: userKey(text(key)), value });
    }
    for (const { key, value } of this.#source.entries("authRoles")) {
      state.push({ kind, key: roleKey(text(key)), value });
    }
    for (const { key, value } of this.#source.entries("auth")) {
      const name = text(key);
      if (name === "authEnabled" && value[0] === 1) {
        state.push({ kind, key: ENABLED_KEY, value: utf8("1") });
      } else if (name === "authRevision" && value.length === 8) {
        const revision = viewOf(value).getBigUint64(0);
        state.push({ kind, key: REVISION_KEY, value: utf8(String(revision)) });
      }
    }
    return state;
  }

  /** Those of all members become the one member's. */
  #alarms(memberId: bigint): StateChange[] {
    return [...this.#source.entries("alarm")].map((entry) => {
      const key = new Uint8Array(9);
      viewOf(key).setBigUint64(0, memberId);
      key[8] = decodeAlarmMember(entry.key).alarm;
      const value = Uint8Array.of(AlarmOrigin.Client);
      return { kind: StateKind.Alarm, key, value };
    });
  }

  async #append(lastRev: number, state: StateChange[]): Promise<void> {
    const outcome = await this.#backend.append({
      seq: ++this.#seq,
      id: crypto.getRandomValues(new Uint8Array(16)),
      firstRev: this.#appendedRevision + 1,
      lastRev,
      timeMs: this.#options.clock.wallMs(),
      rows: this.#rows.take(),
      state,
    });
    assert(outcome === "committed", "nobody else writes to what is imported");
    this.#appendedRevision = lastRev;
  }

  #revisionOf(bytes: Uint8Array): EtcdRevision {
    const isTombstone = bytes.length === TOMBSTONE_BYTES &&
      bytes[REVISION_BYTES] === TOMBSTONE_MARK;
    if (bytes.length !== REVISION_BYTES && !isTombstone) {
      throw damaged(`a revision has ${bytes.length} bytes`);
    }
    const view = viewOf(bytes);
    const main = Number(view.getBigUint64(0));
    const sub = Number(view.getBigUint64(9));
    if (!Number.isSafeInteger(main) || sub > MAX_SUB) {
      throw damaged(`revision ${main}/${sub} is too large`);
    }
    return { main, sub, isTombstone };
  }
}

interface EtcdRevision {
  readonly main: number;
  readonly sub: number;
  readonly isTombstone: boolean;
}

/** leasepb.Lease: ID, TTL and RemainingTTL, int64 each. */
function decodeLease(bytes: Uint8Array) {
  const reader = new Reader(bytes, 0, bytes.length);
  const lease = { id: 0n, ttlSeconds: 0, remainingSeconds: 0 };
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === LEASE_ID) lease.id = reader.int64Id();
    else if (tag === LEASE_TTL) lease.ttlSeconds = reader.int64();
    else if (tag === LEASE_REMAINING) lease.remainingSeconds = reader.int64();
    else reader.skip(tag);
  }
  return lease;
}

const LEASE_ID = 0x08;
const LEASE_TTL = 0x10;
const LEASE_REMAINING = 0x18;

function damaged(state: string): BackupError {
  return new BackupError(`Cannot import etcd's snapshot: ${state}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
