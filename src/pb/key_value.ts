import { EMPTY } from "../base/bytes.ts";
import {
  Reader,
  sizeDelimited,
  sizeId,
  sizeInt64,
  writeBytes,
  writeId,
  writeInt64,
} from "./wire.ts";

/**
 * `mvccpb.KeyValue` records and the events around them as bytes, without a message object between:
 * the store keeps records ready-made, and what it answers is a row of copies.
 *
 * All records come from here: fields in the order of their numbers, each once at most, zeros left out.
 * Readers take them in any order, but of a field that is there twice they may see either.
 */

// Tags of mvccpb.KeyValue.
const KEY = 0x0a;
const CREATE_REVISION = 0x10;
const MOD_REVISION = 0x18;
const VERSION = 0x20;
const VALUE = 0x2a;
const LEASE = 0x30;

// Tags of mvccpb.Event.
const EVENT_TYPE = 0x08;
const EVENT_KV = 0x12;
const EVENT_PREV_KV = 0x1a;
const EVENT_TYPE_DELETE = 1;

/** The number of bytes that `writeKeyValueRecord` will write. */
export function sizeKeyValueRecord(
  key: Uint8Array,
  createRev: number,
  modRev: number,
  version: number,
  value: Uint8Array,
  lease: bigint,
): number {
  let n = 0;
  if (key.length !== 0) n += 1 + sizeDelimited(key.length);
  if (createRev !== 0) n += 1 + sizeInt64(createRev);
  if (modRev !== 0) n += 1 + sizeInt64(modRev);
  if (version !== 0) n += 1 + sizeInt64(version);
  if (value.length !== 0) n += 1 + sizeDelimited(value.length);
  if (lease !== 0n) n += 1 + sizeId(lease);
  return n;
}

/** Writes a live version of a key at `at`; returns the position behind it. */
export function writeKeyValueRecord(
  out: Uint8Array,
  at: number,
  key: Uint8Array,
  createRev: number,
  modRev: number,
  version: number,
  value: Uint8Array,
  lease: bigint,
): number {
  if (key.length !== 0) {
    out[at++] = KEY;
    at = writeBytes(out, at, key);
  }
  if (createRev !== 0) {
    out[at++] = CREATE_REVISION;
    at = writeInt64(out, at, createRev);
  }
  if (modRev !== 0) {
    out[at++] = MOD_REVISION;
    at = writeInt64(out, at, modRev);
  }
  if (version !== 0) {
    out[at++] = VERSION;
    at = writeInt64(out, at, version);
  }
  if (value.length !== 0) {
    out[at++] = VALUE;
    at = writeBytes(out, at, value);
  }
  if (lease !== 0n) {
    out[at++] = LEASE;
    at = writeId(out, at, lease);
  }
  return at;
}

/** The number of bytes that `writeTombstoneRecord` will write. */
export function sizeTombstoneRecord(key: Uint8Array, modRev: number): number {
  return sizeKeyValueRecord(key, 0, modRev, 0, EMPTY, 0n);
}

/** Writes a deletion: the key and its revision, which is all that a DELETE event carries. */
export function writeTombstoneRecord(
  out: Uint8Array,
  at: number,
  key: Uint8Array,
  modRev: number,
): number {
  return writeKeyValueRecord(out, at, key, 0, modRev, 0, EMPTY, 0n);
}

/** The key of the record in `bytes[pos, end)`, as a view. Throws `WireError`. */
export function readRecordKey(
  bytes: Uint8Array,
  pos: number,
  end: number,
): Uint8Array {
  const r = new Reader(bytes, pos, end);
  while (r.pos < r.end) {
    const tag = r.tag();
    if (tag === KEY) return r.bytes();
    r.skip(tag);
  }
  return EMPTY;
}

/** All of a record but the bytes of key and value, of which it has the places. One object serves many records. */
export class RecordHead {
  createRev = 0;
  modRev = 0;
  /** 0 in a tombstone. */
  version = 0;
  lease = 0n;
  /** Positions in the array that was read; start equals end for an empty value. */
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
}

/** Fills `head` from the record in `bytes[pos, end)`. Throws `WireError`. */
export function readRecordHead(
  bytes: Uint8Array,
  pos: number,
  end: number,
  head: RecordHead,
): RecordHead {
  const r = new Reader(bytes, pos, end);
  head.createRev = 0;
  head.modRev = 0;
  head.version = 0;
  head.lease = 0n;
  head.keyStart =
    head.keyEnd =
    head.valueStart =
    head.valueEnd =
      end;
  while (r.pos < r.end) {
    const tag = r.tag();
    switch (tag) {
      case KEY:
        head.keyEnd = r.stop();
        head.keyStart = r.pos;
        r.pos = head.keyEnd;
        break;
      case CREATE_REVISION:
        head.createRev = r.int64();
        break;
      case MOD_REVISION:
        head.modRev = r.int64();
        break;
      case VERSION:
        head.version = r.int64();
        break;
      case VALUE:
        head.valueEnd = r.stop();
        head.valueStart = r.pos;
        r.pos = head.valueEnd;
        break;
      case LEASE:
        head.lease = r.int64Id();
        break;
      default:
        r.skip(tag);
    }
  }
  return head;
}

/** The record as `keys_only` answers it: everything but the value. The same array if there is none. */
export function withoutValue(record: Uint8Array): Uint8Array {
  const r = new Reader(record, 0, record.length);
  while (r.pos < r.end) {
    const start = r.pos;
    const tag = r.tag();
    if (tag !== VALUE) {
      r.skip(tag);
      continue;
    }
    const stop = r.stop();
    const out = new Uint8Array(start + record.length - stop);
    for (let i = 0; i < start; i++) out[i] = record[i]!;
    for (let i = stop; i < record.length; i++) {
      out[start + i - stop] = record[i]!;
    }
    return out;
  }
  return record;
}

/** The number of bytes that `writeEvent` will write. */
export function sizeEvent(
  record: Uint8Array,
  deleted: boolean,
  previous: Uint8Array | undefined,
): number {
  let n = 1 + sizeDelimited(record.length);
  if (deleted) n += 2;
  if (previous !== undefined) n += 1 + sizeDelimited(previous.length);
  return n;
}

/** Writes a `mvccpb.Event` around ready-made records at `at`; returns the position behind it. */
export function writeEvent(
  out: Uint8Array,
  at: number,
  record: Uint8Array,
  deleted: boolean,
  previous: Uint8Array | undefined,
): number {
  if (deleted) {
    out[at++] = EVENT_TYPE;
    out[at++] = EVENT_TYPE_DELETE;
  }
  out[at++] = EVENT_KV;
  at = writeBytes(out, at, record);
  if (previous !== undefined) {
    out[at++] = EVENT_PREV_KV;
    at = writeBytes(out, at, previous);
  }
  return at;
}
