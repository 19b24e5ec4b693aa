import assert from "node:assert/strict";
import { crc32 as nodeCrc32 } from "node:zlib";
import { crc32, tableCrc32 } from "../../../src/base/crc32.ts";

Deno.test("crc32() is that of zlib, before it is loaded and after", () => {
  const bytes = crypto.getRandomValues(new Uint8Array(4096));
  for (const seed of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
    for (const length of [0, 1, 7, 8, 300, 4096]) {
      const part = bytes.subarray(0, length);
      const expected = nodeCrc32(part, seed);
      assert.equal(tableCrc32(part, seed), expected, `${length} of ${seed}`);
      // Over all of them, this passes the bytes after which zlib is loaded.
      for (let again = 0; again < 10; again++) {
        assert.equal(crc32(part, seed), expected, `${length} of ${seed}`);
      }
    }
  }
});

Deno.test("crc32() goes on from a seed", () => {
  const bytes = new TextEncoder().encode("123456789");
  assert.equal(crc32(bytes), 0xcbf43926);
  assert.equal(
    crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4))),
    0xcbf43926,
  );
});

Deno.test("crc32() works where a worker has no permissions", async () => {
  const module = new URL("../../../src/base/crc32.ts", import.meta.url);
  const source = `
    import { crc32 } from ${JSON.stringify(module.href)};
    const bytes = new Uint8Array(100_000).fill(7);
    self.postMessage([crc32(bytes.subarray(0, 9)), crc32(bytes)]);
  `;
  const url = `data:application/javascript,${encodeURIComponent(source)}`;
  const options = {
    type: "module",
    deno: { permissions: "none" },
  } as const;
  const worker = new Worker(url, options);
  const answer = await new Promise((resolve, reject) => {
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.terminate();
  const bytes = new Uint8Array(100_000).fill(7);
  assert.deepEqual(answer, [nodeCrc32(bytes.subarray(0, 9)), nodeCrc32(bytes)]);
});
