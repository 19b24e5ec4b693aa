import assert from "node:assert/strict";
import { decodeState, encodeState } from "../../../src/backend/state_codec.ts";
import {
  type StateChange,
  StateKind,
} from "../../../src/backend/state_change.ts";
import { utf8 } from "../../../src/base/bytes.ts";

const CHANGES: StateChange[] = [
  { kind: StateKind.Meta, key: utf8("k"), value: utf8("value") },
  { kind: StateKind.Lease, key: utf8("kk"), value: undefined },
  { kind: StateKind.Auth, key: new Uint8Array(0), value: new Uint8Array(0) },
  {
    kind: StateKind.Alarm,
    key: new Uint8Array(300),
    value: new Uint8Array(70_000),
  },
];

Deno.test("decodeState() gives back what encodeState() was given", () => {
  for (let n = 0; n <= CHANGES.length; n++) {
    const changes = CHANGES.slice(0, n);
    assert.deepEqual(decodeState(encodeState(changes)), changes);
  }
});

Deno.test("encodeState() of nothing is nothing", () => {
  assert.equal(encodeState([]).length, 0);
});

Deno.test("decodeState() reads from the middle of a buffer", () => {
  const encoded = encodeState(CHANGES);
  const padded = new Uint8Array(encoded.length + 7);
  padded.set(encoded, 3);
  assert.deepEqual(
    decodeState(padded.subarray(3, 3 + encoded.length)),
    CHANGES,
  );
});

Deno.test("decodeState() refuses what is cut off, at every byte", () => {
  const encoded = encodeState(CHANGES.slice(0, 3));
  const ends = new Set([1]);
  for (let n = 1; n <= 3; n++) {
    ends.add(encodeState(CHANGES.slice(0, n)).length);
  }
  for (let n = 1; n < encoded.length; n++) {
    const cut = encoded.subarray(0, n);
    if (ends.has(n)) decodeState(cut);
    else {
      assert.throws(() => decodeState(cut), {
        name: "BackendError",
        kind: "corrupt",
      });
    }
  }
});

Deno.test("decodeState() refuses other layouts, kinds, and lengths beyond the end", () => {
  const change = (kind: number, key: number[], value: number[]) =>
    new Uint8Array([1, kind, ...key, ...value]);
  const bad: [string, Uint8Array][] = [
    ["layout", new Uint8Array([2])],
    ["kind 0", change(0, [0, 0, 0, 0], [0, 0, 0, 0])],
    ["kind 5", change(5, [0, 0, 0, 0], [0, 0, 0, 0])],
    ["kind 127", change(0x7f, [0, 0, 0, 0], [0, 0, 0, 0])],
    ["long key", change(1, [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0])],
    ["long value", change(1, [0, 0, 0, 0], [1, 0, 0, 0])],
    [
      "both lengths together",
      change(1, [0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff]),
    ],
    [
      "removal with a value",
      new Uint8Array([...change(0x81, [0, 0, 0, 0], [1, 0, 0, 0]), 9]),
    ],
  ];
  for (const [name, bytes] of bad) {
    assert.throws(() => decodeState(bytes), { kind: "corrupt" }, name);
  }
});

Deno.test("decodeState() of random bytes either reads or refuses, and takes no memory for it", () => {
  let seed = 12345;
  const next = () => seed = (seed * 1103515245 + 12345) & 0x7fffffff;
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: next() % 40 }, () => next() >> 8);
    bytes[0] = 1;
    try {
      const changes = decodeState(bytes);
      assert.deepEqual(decodeState(encodeState(changes)), changes);
    } catch (error) {
      assert.equal((error as Error).name, "BackendError", `round ${round}`);
    }
  }
});
