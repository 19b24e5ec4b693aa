import { assert } from "../base/assert.ts";
import { BackendError } from "./backend.ts";
import { type StateChange, StateKind } from "./state_change.ts";

/**
 * State changes as bytes, for the `ops` column of `stele_batch` and for messages between threads:
 *
 *   u8  version of this layout
 *   for each change
 *     u8  kind; the top bit is set for a removal
 *     u32 length of the key, little-endian
 *     u32 length of the value, little-endian (0 for a removal)
 *     the key, the value
 *
 * No change at all is the empty byte string.
 */
const VERSION = 1;
const CHANGE_HEADER_BYTES = 9;
const REMOVAL = 0x80;
const LAST_KIND = StateKind.Alarm;

export function encodeState(
  changes: readonly StateChange[],
): Uint8Array<ArrayBuffer> {
  if (changes.length === 0) return new Uint8Array(0);
  let size = 1;
  for (const { key, value } of changes) {
    size += CHANGE_HEADER_BYTES + key.length + (value?.length ?? 0);
  }
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  out[0] = VERSION;
  let at = 1;
  for (const { kind, key, value } of changes) {
    assert(
      kind >= StateKind.Meta && kind <= LAST_KIND,
      "unknown kind of state",
    );
    out[at] = value === undefined ? kind | REMOVAL : kind;
    view.setUint32(at + 1, key.length, true);
    view.setUint32(at + 5, value?.length ?? 0, true);
    at += CHANGE_HEADER_BYTES;
    out.set(key, at);
    at += key.length;
    if (value !== undefined) {
      out.set(value, at);
      at += value.length;
    }
  }
  return out;
}

/** Keys and values are views of `bytes`. Rejects what `encodeState` cannot have written. */
export function decodeState(bytes: Uint8Array): StateChange[] {
  const changes: StateChange[] = [];
  if (bytes.length === 0) return changes;
  if (bytes[0] !== VERSION) throw corrupt(`unknown layout ${bytes[0]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 1;
  while (at < bytes.length) {
    if (bytes.length - at < CHANGE_HEADER_BYTES) {
      throw corrupt("it ends inside a change");
    }
    const first = view.getUint8(at);
    const kind = first & ~REMOVAL;
    const keyBytes = view.getUint32(at + 1, true);
    const valueBytes = view.getUint32(at + 5, true);
    at += CHANGE_HEADER_BYTES;
    if (!isKind(kind)) throw corrupt(`unknown kind ${kind}`);
    const removal = (first & REMOVAL) !== 0;
    if (removal && valueBytes !== 0) throw corrupt("a removal has a value");
    if (keyBytes + valueBytes > bytes.length - at) {
      throw corrupt("it ends inside a change");
    }
    const key = bytes.subarray(at, at + keyBytes);
    at += keyBytes;
    const value = removal ? undefined : bytes.subarray(at, at + valueBytes);
    at += valueBytes;
    changes.push({ kind, key, value });
  }
  return changes;
}

function isKind(kind: number): kind is StateKind {
  return kind >= StateKind.Meta && kind <= LAST_KIND;
}

function corrupt(state: string): BackendError {
  return new BackendError(`Cannot read state changes: ${state}`, {
    kind: "corrupt",
  });
}
