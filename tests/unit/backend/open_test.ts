import assert from "node:assert/strict";
import { SqliteBackend } from "../../../src/backend/driver/sqlite/sqlite_backend.ts";
import { MemoryBackend } from "../../../src/backend/memory.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const clock = new FakeClock();

Deno.test("openBackend() chooses the driver by the scheme", () => {
  assert.ok(openBackend("memory://", { clock }) instanceof MemoryBackend);
  assert.ok(openBackend("sqlite://data", { clock }) instanceof SqliteBackend);
});

Deno.test("openBackend() takes a relative or absolute directory", async () => {
  const parent = Deno.makeTempDirSync();
  const backend = openBackend(`sqlite://${parent}/a b%20`, { clock });
  await backend.open();
  await backend.close();
  assert.ok(Deno.statSync(`${parent}/a b%20/stele.db`).isFile);
  Deno.removeSync(parent, { recursive: true });
});

for (
  const [url, message] of [
    ["oracle://host/db", /scheme is not one of sqlite:\/\/PATH, memory:\/\//],
    ["data", /scheme is not one of/],
    ["sqlite:data", /scheme is not one of/],
    ["", /scheme is not one of/],
    ["sqlite://", /names no directory/],
    ["memory://x", /takes no path/],
  ] as const
) {
  Deno.test(`openBackend() refuses ${JSON.stringify(url)}`, () => {
    assert.throws(() => openBackend(url, { clock }), {
      name: "BackendError",
      message,
    });
  });
}

Deno.test("openBackend() keeps a password out of its error", () => {
  assert.throws(
    () => openBackend("oracle://me:secret@host/db", { clock }),
    (error: Error) => !error.message.includes("secret"),
  );
});
