import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { hashBytes } from "../../../src/base/hash_bytes.ts";

Deno.test("hashBytes() is the same for equal bytes wherever they lie", () => {
  const long = utf8("xx/registry/pods/default/nginx-1xx");
  for (let n = 0; n <= 30; n++) {
    const view = long.subarray(2, 2 + n);
    assert.equal(hashBytes(view), hashBytes(view.slice()));
    assert.equal(hashBytes(view), hashBytes(view) | 0);
  }
});

Deno.test("hashBytes() takes every bit of every byte into account", () => {
  for (let n = 1; n <= 9; n++) {
    const bytes = new Uint8Array(n);
    const seen = new Set([hashBytes(bytes), hashBytes(new Uint8Array(n + 1))]);
    for (let bit = 0; bit < n * 8; bit++) {
      bytes[bit >> 3] = 1 << (bit & 7);
      seen.add(hashBytes(bytes));
      bytes[bit >> 3] = 0;
    }
    // Two of 74 hashes of 32 bits are equal once in a million and a half runs; two such pairs, never.
    assert.ok(seen.size >= n * 8 + 1, `${seen.size} hashes of ${n} bytes`);
  }
});

Deno.test("hashBytes() spreads keys that differ in a number over the low bits", () => {
  const slots = new Int32Array(1024);
  for (let i = 0; i < 64 * 1024; i++) {
    const key = utf8(`/registry/pods/default/pod-${i}`);
    slots[hashBytes(key) & 1023]! += 1;
  }
  // 64 expected in each, with a deviation of 8: 160 is twelve deviations away.
  assert.ok(Math.max(...slots) < 160, `${Math.max(...slots)} in one`);
  assert.ok(Math.min(...slots) > 8, `${Math.min(...slots)} in one`);
});

Deno.test("hashBytes() differs between processes", async () => {
  const module = new URL("../../../src/base/hash_bytes.ts", import.meta.url);
  const code = `import { hashBytes } from ${JSON.stringify(module.href)};
    console.log(hashBytes(new Uint8Array(8)), hashBytes(new Uint8Array(9)));`;
  const hashes = [0, 1].map(async () => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", code],
    }).output();
    return new TextDecoder().decode(stdout).trim();
  });
  const [one, two] = await Promise.all(hashes);
  assert.match(one!, /^-?\d+ -?\d+$/);
  assert.notEqual(one, two);
});
