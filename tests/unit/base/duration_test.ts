import assert from "node:assert/strict";
import { parseDurationMs } from "../../../src/base/duration.ts";

const GOOD: readonly (readonly [string, number])[] = [
  ["0", 0],
  ["0s", 0],
  ["-0", 0],
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["100ms", 100],
  ["1.5s", 1500],
  [".5s", 500],
  ["1.s", 1000],
  ["-1.5h", -5_400_000],
  ["+5s", 5000],
  ["1us", 0.001],
  ["1µs", 0.001],
  ["1μs", 0.001],
  ["1000000ns", 1],
  ["1m1m", 120_000],
  ["2562047h47m16s", 9_223_372_036_000],
];

for (const [text, ms] of GOOD) {
  Deno.test(`parseDurationMs() reads ${text}`, () => {
    assert.equal(Object.is(parseDurationMs(text)! + 0, ms), true);
  });
}

const BAD = [
  "",
  "-",
  "+",
  "5",
  "1.5",
  "s",
  ".s",
  "1x",
  "1 s",
  " 1s",
  "1s ",
  "1S",
  "--1s",
  "1s-1s",
  "1e3s",
  "1..5s",
  "1d",
  "2562048h",
];

for (const text of BAD) {
  Deno.test(`parseDurationMs() refuses "${text}"`, () => {
    assert.equal(parseDurationMs(text), undefined);
  });
}
