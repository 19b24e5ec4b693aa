import assert from "node:assert/strict";
import { main } from "../../../src/cli/main.ts";
import { FakeProcess } from "../../support/fake_process.ts";

async function schema(
  ...args: string[]
): Promise<{ status: number; process: FakeProcess }> {
  const process = new FakeProcess();
  const status = await main(["schema", ...args], process, () => {
    throw new Error("no server was to be started");
  });
  return { status, process };
}

Deno.test("stele schema prints every table of each engine, with the prefix", async () => {
  for (const engine of ["postgres", "yugabytedb", "mysql"]) {
    const { status, process } = await schema(
      "--print",
      `--engine=${engine}`,
      "--table-prefix=west_",
    );
    assert.equal(status, 0, process.err);
    for (const table of ["batch", "kv", "state", "removed", "replica"]) {
      assert.match(process.out, new RegExp(`west_${table}\\b`), engine);
    }
    assert.doesNotMatch(process.out, /stele_/);
  }
});

Deno.test("stele schema is PostgreSQL's with prefix stele_ unless it is told otherwise", async () => {
  const { process } = await schema();
  assert.match(process.out, /CREATE TABLE IF NOT EXISTS stele_kv \(/);
  assert.doesNotMatch(process.out, / ASC/);
});

Deno.test("stele schema refuses other engines, and prefixes that are none", async () => {
  const engine = await schema("--engine=oracle");
  assert.equal(engine.status, 2);
  assert.match(engine.process.err, /oracle/);
  const prefix = await schema("--table-prefix=x;drop");
  assert.equal(prefix.status, 2);
  assert.match(
    prefix.process.err,
    /table-prefix "x;drop": it must be up to 40/,
  );
});
