import assert from "node:assert/strict";
import { AssertionError } from "../../../src/base/assert.ts";
import { ValueStore } from "../../../src/mvcc/value_store.ts";
import { Random, seeds } from "../../support/random.ts";

/** Some bytes that tell which record they are. */
function recordOf(n: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => n * 31 + i);
}

function newStore(budgetBytes: number, slabBytes = 1024): ValueStore {
  return new ValueStore({ budgetBytes, slabBytes });
}

Deno.test("ValueStore.reserve() says where to write", () => {
  const values = newStore(1 << 20);
  const address = values.reserve(3);
  values.reserveBuffer.set([1, 2, 3], values.reserveOffset);
  assert.deepEqual(values.get(address, 3), Uint8Array.of(1, 2, 3));
  assert.equal(values.locate(address), true);
  assert.deepEqual(
    values.viewBuffer.subarray(values.viewOffset, values.viewOffset + 3),
    Uint8Array.of(1, 2, 3),
  );
  assert.equal(values.liveBytes, 3);
});

Deno.test("ValueStore takes little memory while it is empty, and grows by slabs", () => {
  const values = new ValueStore({ budgetBytes: 1 << 30 });
  assert.equal(values.bytes, 64 << 10);
  const sizes = new Set<number>();
  for (let i = 0; i < 4000; i++) {
    values.append(new Uint8Array(1000));
    sizes.add(values.bytes);
  }
  const kib = [64, 192, 448, 960, 1984, 3008, 4032];
  assert.deepEqual([...sizes], kib.map((n) => n << 10));
});

Deno.test("ValueStore fills a slab to the last byte", () => {
  const values = newStore(1 << 20);
  // Each record takes four bytes more than it has.
  const first = values.append(recordOf(1, 508));
  const second = values.append(recordOf(2, 508));
  assert.equal(values.bytes, 1024);
  const third = values.append(recordOf(3, 0));
  assert.equal(values.bytes, 2048);
  assert.ok(first < second && second < third);
  assert.deepEqual(values.get(first, 508), recordOf(1, 508));
  assert.deepEqual(values.get(second, 508), recordOf(2, 508));
  assert.deepEqual(values.get(third, 0), new Uint8Array(0));
});

Deno.test("ValueStore gives a record that is larger than a slab one of its own", () => {
  const values = newStore(1 << 20);
  const addresses = [10, 1020, 1021, 5000, 20].map((bytes, n) => ({
    n,
    bytes,
    address: values.append(recordOf(n, bytes)),
  }));
  assert.equal(values.bytes, 1024 + 1024 + 1025 + 5004 + 1024);
  for (const { n, bytes, address } of addresses) {
    assert.deepEqual(values.get(address, bytes), recordOf(n, bytes));
  }
  for (const { bytes, address } of addresses) values.release(address, bytes);
  assert.equal(values.liveBytes, 0);
  assert.equal(values.bytes, 1024);
});

Deno.test("ValueStore lets the oldest slabs go beyond its budget; views of them stay", () => {
  const values = newStore(3072);
  const addresses: number[] = [];
  for (let n = 0; n < 6; n++) addresses.push(values.append(recordOf(n, 500)));
  assert.equal(values.bytes, 3072);
  const view = values.get(addresses[0]!, 500)!;
  addresses.push(values.append(recordOf(6, 500)));
  assert.equal(values.bytes, 3072);
  assert.equal(values.liveBytes, 2500);
  const there = addresses.map((at) => values.get(at, 500) !== undefined);
  assert.deepEqual(there, [false, false, true, true, true, true, true]);
  assert.deepEqual(addresses.map((at) => values.locate(at)), there);
  assert.deepEqual(view, recordOf(0, 500));
  values.release(addresses[0]!, 500);
  assert.equal(values.liveBytes, 2500);
});

Deno.test("ValueStore keeps the slab that is being filled even if it alone exceeds the budget", () => {
  const values = newStore(0);
  const first = values.append(recordOf(1, 5000));
  assert.deepEqual(values.get(first, 5000), recordOf(1, 5000));
  const second = values.append(recordOf(2, 10));
  assert.equal(values.get(first, 5000), undefined);
  assert.deepEqual(values.get(second, 10), recordOf(2, 10));
});

Deno.test("ValueStore.release() lets a slab go when nothing in it is live", () => {
  const values = newStore(1 << 20);
  const addresses = Array.from(
    { length: 6 },
    (_, n) => values.append(recordOf(n, 500)),
  );
  values.release(addresses[3]!, 500);
  assert.equal(values.bytes, 3072);
  values.release(addresses[2]!, 500);
  assert.equal(values.bytes, 2048);
  assert.equal(values.get(addresses[2]!, 500), undefined);
  assert.deepEqual(values.get(addresses[1]!, 500), recordOf(1, 500));
  assert.deepEqual(values.get(addresses[4]!, 500), recordOf(4, 500));
  // The one being filled stays, and goes once it no longer is.
  values.release(addresses[4]!, 500);
  values.release(addresses[5]!, 500);
  assert.equal(values.bytes, 2048);
  values.append(recordOf(6, 500));
  assert.equal(values.bytes, 2048);
});

Deno.test("ValueStore.release() refuses to release more than there is", () => {
  const values = newStore(1 << 20);
  const address = values.append(recordOf(1, 10));
  values.append(recordOf(2, 5));
  values.release(address, 10);
  assert.throws(() => values.release(address, 10), AssertionError);
});

Deno.test("ValueStore.hold() keeps what comes from then on, beyond the budget and from cleaning", () => {
  const values = newStore(2048);
  const old = values.append(recordOf(0, 1000));
  values.append(recordOf(1, 1000));
  values.hold();
  const held = [2, 3, 4, 5].map((n) => values.append(recordOf(n, 1000)));
  assert.equal(values.get(old, 1000), undefined);
  for (const [i, address] of held.entries()) {
    assert.deepEqual(values.get(address, 1000), recordOf(i + 2, 1000));
  }
  // Mostly garbage now, and yet in its place.
  const half = values.append(recordOf(6, 600));
  const other = values.append(recordOf(7, 300));
  values.append(recordOf(8, 1000));
  values.release(half, 600);
  const moved = values.clean(Infinity, () => assert.fail("a record is moved"));
  assert.equal(moved, 0);
  assert.deepEqual(values.get(other, 300), recordOf(7, 300));
  assert.ok(values.bytes > 2048);
  values.letGo();
  assert.equal(values.bytes, 2048);
  assert.equal(values.get(held[3]!, 1000), undefined);
  assert.deepEqual(values.get(other, 300), recordOf(7, 300));
});

Deno.test("ValueStore.clean() moves what is needed out of slabs that are mostly garbage", () => {
  const values = newStore(1 << 20);
  // Nine records of 100 bytes to a slab.
  const addresses = Array.from(
    { length: 30 },
    (_, n) => values.append(recordOf(n, 100)),
  );
  // Four are left of the first slab, six of the second.
  for (const n of [0, 2, 4, 6, 8, 10, 12, 14]) {
    values.release(addresses[n]!, 100);
  }
  const asked: number[] = [];
  const moved = values.clean(Infinity, (address, bytes, record) => {
    const n = addresses.indexOf(address);
    asked.push(n);
    assert.equal(bytes, 100);
    assert.deepEqual(record, recordOf(n, 100));
    // Number 3 is live as far as the store knows, but nobody refers to it.
    if (n % 2 === 0 || n === 3) return undefined;
    return (to) => {
      addresses[n] = to;
    };
  });
  assert.deepEqual(asked, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(moved, 300);
  for (const n of [1, 5, 7, 9, 11, 13, 29]) {
    assert.deepEqual(values.get(addresses[n]!, 100), recordOf(n, 100));
  }
  assert.equal(values.get(addresses[3]!, 100), undefined);
  assert.equal(values.liveBytes, 100 * (30 - 8 - 1));
});

Deno.test("ValueStore.clean() stops after about as many bytes as it may move", () => {
  const values = newStore(1 << 20);
  const addresses = new Set<number>();
  for (let n = 0; n < 90; n++) {
    const address = values.append(recordOf(n, 100));
    if (n % 9 < 6) values.release(address, 100);
    else addresses.add(address);
  }
  const slab = values.bytes / 10;
  const relocate = (address: number) =>
    addresses.delete(address)
      ? (to: number) => {
        addresses.add(to);
      }
      : undefined;
  assert.equal(values.clean(1, relocate), 300);
  assert.equal(values.clean(301, relocate), 600);
  assert.equal(addresses.size, 30);
  for (const address of addresses) assert.ok(values.locate(address));
  assert.ok(values.bytes <= 9 * slab);
});

for (const seed of seeds(8)) {
  Deno.test(`ValueStore agrees with a map of records (seed ${seed})`, () => {
    const random = new Random(seed);
    const budget = random.oneIn(2) ? 1 << 30 : 8 << 10;
    const values = newStore(budget, 1 << (8 + random.int(4)));
    const live = new Map<number, Uint8Array>();
    for (let step = 0; step < 4000; step++) {
      if (live.size > 0 && random.oneIn(step % 1000 < 500 ? 3 : 2)) {
        const [address, record] = random.pick([...live]);
        values.release(address, record.length);
        live.delete(address);
      } else {
        const bytes = random.oneIn(50) ? random.int(5000) : random.int(120);
        const record = recordOf(step, bytes);
        const address = values.append(record);
        assert.equal(live.has(address), false);
        live.set(address, record);
      }
      if (random.oneIn(60)) {
        values.clean(random.int(2000), (address, bytes, record) => {
          const known = live.get(address);
          if (known === undefined) return undefined;
          assert.equal(bytes, known.length);
          assert.deepEqual(record, known);
          return (to) => {
            live.delete(address);
            live.set(to, known);
          };
        });
      }
      // What the budget took is a miss, everything else is what it was.
      for (const [address, record] of step % 20 === 0 ? [...live] : []) {
        const view = values.get(address, record.length);
        if (view !== undefined) assert.deepEqual(view, record);
        else {
          assert.notEqual(budget, 1 << 30);
          live.delete(address);
        }
      }
      if (step % 20 === 0) {
        let bytes = 0;
        for (const record of live.values()) bytes += record.length;
        assert.equal(values.liveBytes, bytes);
        assert.ok(values.bytes <= Math.max(budget, 8 << 10) + 5004);
      }
    }
  });
}
