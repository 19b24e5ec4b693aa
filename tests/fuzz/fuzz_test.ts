import assert from "node:assert/strict";
import { Random } from "../support/random.ts";
import {
  anySeed,
  corpusOf,
  fuzz,
  FuzzFailure,
  runCase,
  TARGETS,
} from "./fuzzer.ts";
import type { FuzzTarget } from "./target.ts";

/** For new seeds of each target; `deno task fuzz` takes its time. */
const SECONDS = 0.6;

for (const target of TARGETS) {
  Deno.test(`fuzz: ${target.name}, seeds of the corpus and new ones`, async () => {
    for (const { seed } of corpusOf(target)) await runCase(target, seed);
    await fuzz(target, { seed: anySeed(), seconds: SECONDS });
  });
}

Deno.test("fuzz() tells the seed of the case that failed, and how to see it again", async () => {
  const found: FuzzTarget = {
    name: "example",
    run: (random) => assert.notEqual(random.int(10), new Random(42).int(10)),
  };
  const failure = await fuzz(found, { seed: 40, seconds: 60 })
    .then(() => undefined, (error) => error);
  assert.ok(failure instanceof FuzzFailure);
  const { seed, message } = failure;
  assert.ok(seed <= 42);
  assert.match(
    message,
    new RegExp(`deno task fuzz --seconds=0 --seed=${seed} example\n`),
  );
  await assert.rejects(runCase(found, seed), FuzzFailure);
});
