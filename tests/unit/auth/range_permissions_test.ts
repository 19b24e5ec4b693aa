import assert from "node:assert/strict";
import {
  isPermissionRange,
  RangePermissions,
} from "../../../src/auth/range_permissions.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import {
  newPermission,
  Permission_Type as Type,
} from "../../../src/pb/authpb.ts";
import { Random, seeds } from "../../support/random.ts";

type Granted = readonly [type: Type, key: string, rangeEnd?: string];

function permissions(...granted: Granted[]): RangePermissions {
  return new RangePermissions(
    granted.map(([permType, key, rangeEnd = ""]) =>
      newPermission({ permType, key: utf8(key), rangeEnd: utf8(rangeEnd) })
    ),
  );
}

const reads = (p: RangePermissions, key: string, rangeEnd = "") =>
  p.mayRead(utf8(key), utf8(rangeEnd));
const writes = (p: RangePermissions, key: string, rangeEnd = "") =>
  p.mayWrite(utf8(key), utf8(rangeEnd));

Deno.test("RangePermissions allows nothing unless something is granted", () => {
  const none = permissions();
  for (const [key, end] of [["a", ""], ["\0", "\0"], ["", ""], ["a", "b"]]) {
    assert.equal(reads(none, key!, end), false);
    assert.equal(writes(none, key!, end), false);
  }
});

Deno.test("RangePermissions keeps reading and writing apart", () => {
  const p = permissions([Type.READ, "r"], [Type.WRITE, "w"], [
    Type.READWRITE,
    "rw",
  ]);
  assert.deepEqual(
    ["r", "w", "rw"].map((key) => [reads(p, key), writes(p, key)]),
    [[true, false], [false, true], [true, true]],
  );
});

Deno.test("RangePermissions of a type that there is not allow nothing", () => {
  for (const type of [-1, 3, 7]) {
    const p = permissions([type as Type, "k"]);
    assert.equal(reads(p, "k"), false, `type ${type}`);
    assert.equal(writes(p, "k"), false, `type ${type}`);
  }
});

Deno.test("RangePermissions of one key allows that key, and the range of it alone", () => {
  const p = permissions([Type.READ, "k"]);
  assert.equal(reads(p, "k"), true);
  assert.equal(reads(p, "k", "k\0"), true);
  assert.equal(reads(p, "k", "k\0\0"), false);
  assert.equal(reads(p, "k", "l"), false);
  assert.equal(reads(p, "k", "\0"), false);
  assert.equal(reads(p, "k\0"), false);
  assert.equal(reads(p, "j"), false);
});

Deno.test("RangePermissions takes the end of a range for outside of it", () => {
  const p = permissions([Type.READ, "b", "d"]);
  assert.deepEqual(
    ["a", "b", "c", "czzz", "d"].map((key) => reads(p, key)),
    [false, true, true, true, false],
  );
  assert.equal(reads(p, "b", "d"), true);
  assert.equal(reads(p, "b", "d\0"), false);
  assert.equal(reads(p, "a", "d"), false);
});

Deno.test("RangePermissions without an end goes to the last key, and only such a one allows an open request", () => {
  const p = permissions([Type.READ, "m", "\0"]);
  assert.equal(reads(p, "z", "\0"), true);
  assert.equal(reads(p, "m", "\xff\xff"), true);
  assert.equal(reads(p, "l", "\0"), false);
  assert.equal(reads(permissions([Type.READ, "a", "zzzz"]), "a", "\0"), false);
  assert.equal(reads(permissions([Type.READ, "\0", "\0"]), "\0", "\0"), true);
});

Deno.test("RangePermissions joins ranges that touch or overlap, and no others", () => {
  const p = permissions(
    [Type.READ, "c", "e"],
    [Type.READ, "a", "c"],
    [Type.READ, "d", "g"],
    [Type.READ, "h", "i"],
  );
  assert.equal(reads(p, "a", "g"), true);
  assert.equal(reads(p, "a", "h"), false);
  assert.equal(reads(p, "f", "i"), false);
  assert.equal(
    reads(permissions([Type.READ, "a"], [Type.READ, "a\0", "b"]), "a", "b"),
    true,
  );
});

Deno.test("RangePermissions denies a request whose end is not above its key, unless its key is in the range", () => {
  const p = permissions([Type.READ, "b", "d"]);
  assert.equal(reads(p, "e", "a"), false);
  assert.equal(reads(p, "a", "a"), false);
});

Deno.test("RangePermissions agrees with looking at each key", () => {
  for (const seed of seeds(50)) {
    const random = new Random(seed);
    const letter = () => "abcdefgh"[random.int(8)]!;
    const granted: Granted[] = Array.from({ length: random.int(5) }, () => {
      const [a, b] = [letter(), letter()];
      return [
        Type.READ,
        a,
        random.oneIn(3) ? "" : random.oneIn(6) ? "\0" : b,
      ] as const;
    }).filter(([, a, b]) => isPermissionRange(utf8(a), utf8(b)));
    const p = permissions(...granted);
    const holds = (key: string) =>
      granted.some(([, a, b = ""]) =>
        b === "" ? key === a : key >= a && (b === "\0" || key < b)
      );
    // Keys between any two letters are told apart by one more character.
    const keys = [..."abcdefghi"].flatMap((k) => [k, k + "m"]);
    for (const start of "abcdefgh") {
      for (const end of "bcdefghi") {
        if (end <= start) continue;
        const expected = keys.filter((k) => k >= start && k < end).every(holds);
        assert.equal(
          reads(p, start, end),
          expected,
          `seed ${seed}: ${start}..${end} of ${JSON.stringify(granted)}`,
        );
      }
      assert.equal(reads(p, start), holds(start), `seed ${seed}: ${start}`);
    }
  }
});

Deno.test("isPermissionRange() needs a key, and an end above it", () => {
  const is = (key: string, end: string) =>
    isPermissionRange(utf8(key), utf8(end));
  assert.deepEqual(
    [is("a", ""), is("a", "b"), is("a", "a\0"), is("a", "\0"), is("\0", "\0")],
    [true, true, true, true, true],
  );
  assert.deepEqual([is("", ""), is("", "b"), is("a", "a"), is("b", "a")], [
    false,
    false,
    false,
    false,
  ]);
});
