import { assert } from "../base/assert.ts";

/** What the log knows of a lease: the state value under its `leaseStateKey`. */
export interface LeaseRecord {
  /** Granted seconds, to which each renewal returns. */
  readonly ttlSeconds: number;
  /** Wall clock, milliseconds since the epoch, when the lease ends unless it is renewed. */
  readonly deadlineWallMs: number;
  /** Renewals may have happened since that are in no record: the deadline above counts for nothing. */
  readonly isRenewing: boolean;
}

/*
 * Layout, big-endian:
 *   u8   format, 1
 *   u8   flags, bit 0: isRenewing
 *   u64  TTL in seconds
 *   i64  deadline in milliseconds since the epoch
 */
const FORMAT = 1;
const RENEWING = 1;
const RECORD_BYTES = 18;

export function encodeLeaseRecord(record: LeaseRecord): Uint8Array {
  const out = new Uint8Array(RECORD_BYTES);
  const view = new DataView(out.buffer);
  out[0] = FORMAT;
  out[1] = record.isRenewing ? RENEWING : 0;
  view.setBigUint64(2, BigInt(record.ttlSeconds));
  view.setBigInt64(10, BigInt(Math.round(record.deadlineWallMs)));
  return out;
}

export function decodeLeaseRecord(bytes: Uint8Array): LeaseRecord {
  assert(
    bytes.length === RECORD_BYTES && bytes[0] === FORMAT,
    "a lease record has a known format",
  );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ttlSeconds = Number(view.getBigUint64(2));
  const deadlineWallMs = Number(view.getBigInt64(10));
  assert(
    Number.isSafeInteger(ttlSeconds) && Number.isSafeInteger(deadlineWallMs),
    "a lease record's times are safe integers",
  );
  return {
    ttlSeconds,
    deadlineWallMs,
    isRenewing: (bytes[1]! & RENEWING) !== 0,
  };
}

/**
 * Milliseconds that a lease gets when the server takes over its expiry: all of its TTL if it was being
 * renewed, else what is left of it. The grace is for a client that could not renew while nobody served.
 */
export function remainingAtStartMs(
  record: LeaseRecord,
  now: { readonly wallMs: number; readonly graceMs: number },
): number {
  const ttlMs = record.ttlSeconds * 1000;
  if (record.isRenewing) return ttlMs;
  const leftMs = record.deadlineWallMs - now.wallMs;
  return Math.min(ttlMs, Math.max(leftMs, now.graceMs));
}
