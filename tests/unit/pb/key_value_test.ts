import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import {
  readRecordHead,
  readRecordKey,
  RecordHead,
  sizeEvent,
  sizeKeyValueRecord,
  sizeTombstoneRecord,
  withoutValue,
  writeEvent,
  writeKeyValueRecord,
  writeTombstoneRecord,
} from "../../../src/pb/key_value.ts";
import {
  decodeEvent,
  decodeKeyValue,
  encodeEvent,
  encodeKeyValue,
  Event_EventType,
  type KeyValue,
  newEvent,
  newKeyValue,
} from "../../../src/pb/mvccpb.ts";

const KEY_VALUES: KeyValue[] = [
  newKeyValue({
    key: utf8("k"),
    createRevision: 2,
    modRevision: 2,
    version: 1,
    value: utf8("v"),
  }),
  newKeyValue({
    key: utf8("k"),
    createRevision: 2,
    modRevision: 3,
    version: 2,
    value: EMPTY,
    lease: 1n,
  }),
  newKeyValue({
    key: new Uint8Array(300).fill(7),
    createRevision: 2 ** 31,
    modRevision: Number.MAX_SAFE_INTEGER,
    version: 128,
    value: new Uint8Array(5000).fill(9),
    lease: 2n ** 63n - 1n,
  }),
  newKeyValue({
    key: utf8("k"),
    createRevision: 2,
    modRevision: 2,
    version: 1,
    value: utf8("v"),
    lease: -(2n ** 63n),
  }),
  newKeyValue({ key: utf8("k"), modRevision: 9 }),
];

/** The record at position 3 of a larger array, with the rest filled, so that a wrong bound shows. */
function placed(
  kv: KeyValue,
): { bytes: Uint8Array; start: number; end: number } {
  const { key, createRevision, modRevision, version, value, lease } = kv;
  const size = sizeKeyValueRecord(
    key,
    createRevision,
    modRevision,
    version,
    value,
    lease,
  );
  const bytes = new Uint8Array(size + 6).fill(0xff);
  const end = writeKeyValueRecord(
    bytes,
    3,
    key,
    createRevision,
    modRevision,
    version,
    value,
    lease,
  );
  assert.equal(end, size + 3);
  assert.deepEqual([...bytes.subarray(end)], [0xff, 0xff, 0xff]);
  return { bytes, start: 3, end };
}

function record(kv: KeyValue): Uint8Array {
  const { bytes, start, end } = placed(kv);
  return bytes.subarray(start, end);
}

Deno.test("writeKeyValueRecord() writes what the generated codec writes", () => {
  for (const kv of KEY_VALUES) {
    assert.deepEqual(record(kv), Uint8Array.from(encodeKeyValue(kv)));
  }
});

Deno.test("writeTombstoneRecord() writes key and revision alone", () => {
  const key = utf8("gone");
  const out = new Uint8Array(sizeTombstoneRecord(key, 77));
  assert.equal(writeTombstoneRecord(out, 0, key, 77), out.length);
  assert.deepEqual(decodeKeyValue(out), newKeyValue({ key, modRevision: 77 }));
});

Deno.test("readRecordKey() answers a view of the key", () => {
  for (const kv of KEY_VALUES) {
    const { bytes, start, end } = placed(kv);
    const key = readRecordKey(bytes, start, end);
    assert.deepEqual(key, kv.key);
    assert.equal(key.buffer, bytes.buffer);
  }
  assert.equal(readRecordKey(Uint8Array.of(0x18, 5), 0, 2).length, 0);
  assert.deepEqual(
    readRecordKey(Uint8Array.of(0x18, 5, 0x0a, 1, 9), 0, 5),
    Uint8Array.of(9),
  );
  assert.throws(() => readRecordKey(Uint8Array.of(0x0a, 2, 9), 0, 3), {
    name: "WireError",
  });
});

Deno.test("readRecordHead() takes a record apart, leaving nothing of the one before", () => {
  const head = new RecordHead();
  for (const kv of [...KEY_VALUES, ...KEY_VALUES.toReversed()]) {
    const { bytes, start, end } = placed(kv);
    assert.equal(readRecordHead(bytes, start, end, head), head);
    assert.deepEqual(bytes.subarray(head.keyStart, head.keyEnd), kv.key);
    assert.deepEqual(bytes.subarray(head.valueStart, head.valueEnd), kv.value);
    assert.deepEqual(
      [head.createRev, head.modRev, head.version, head.lease],
      [kv.createRevision, kv.modRevision, kv.version, kv.lease],
    );
  }
  assert.throws(() => readRecordHead(Uint8Array.of(0x2a, 1), 0, 2, head), {
    name: "WireError",
  });
});

Deno.test("withoutValue() keeps everything else, the lease included", () => {
  for (const kv of KEY_VALUES) {
    const before = record(kv);
    const copy = before.slice();
    assert.deepEqual(decodeKeyValue(withoutValue(before)), {
      ...kv,
      value: EMPTY,
    });
    assert.deepEqual(before, copy, "the record is shared and must not change");
  }
  const bare = record(newKeyValue({ key: utf8("k"), modRevision: 9 }));
  assert.equal(withoutValue(bare), bare);
});

Deno.test("writeEvent() writes what the generated codec writes", () => {
  const previous = KEY_VALUES[2]!;
  for (const kv of KEY_VALUES) {
    for (const deleted of [false, true]) {
      for (const prevKv of [undefined, previous]) {
        const prevRecord = prevKv && record(prevKv);
        const out = new Uint8Array(
          sizeEvent(record(kv), deleted, prevRecord) + 1,
        );
        assert.equal(
          writeEvent(out, 1, record(kv), deleted, prevRecord),
          out.length,
        );
        const event = newEvent({
          type: deleted ? Event_EventType.DELETE : Event_EventType.PUT,
          kv,
          prevKv,
        });
        assert.deepEqual(out.subarray(1), Uint8Array.from(encodeEvent(event)));
        assert.deepEqual(decodeEvent(out, 1), event);
      }
    }
  }
});
