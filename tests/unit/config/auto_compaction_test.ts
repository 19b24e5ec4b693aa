import assert from "node:assert/strict";
import { parseAutoCompaction } from "../../../src/config/auto_compaction.ts";
import { ConfigError } from "../../../src/config/config_error.ts";

const GOOD: readonly (readonly [string, string, object])[] = [
  ["periodic", "0", { mode: "off" }],
  ["periodic", "0s", { mode: "off" }],
  ["revision", "0", { mode: "off" }],
  ["periodic", "1", { mode: "periodic", retentionMs: 3_600_000 }],
  ["periodic", "72", { mode: "periodic", retentionMs: 259_200_000 }],
  ["periodic", "30m", { mode: "periodic", retentionMs: 1_800_000 }],
  ["periodic", "1ns", { mode: "periodic", retentionMs: 1e-6 }],
  ["revision", "1000", { mode: "revision", retention: 1000 }],
];

for (const [mode, retention, expected] of GOOD) {
  Deno.test(`parseAutoCompaction() reads ${mode} ${retention}`, () => {
    assert.deepEqual(parseAutoCompaction(mode, retention), expected);
  });
}

const BAD: readonly (readonly [string, string, RegExp])[] = [
  ["", "0", /auto-compaction-mode ""/],
  ["hourly", "1", /must be periodic or revision/],
  ["periodic", "x", /hours or a duration/],
  ["periodic", "", /hours or a duration/],
  ["periodic", "1.5", /hours or a duration/],
  ["periodic", "-5", /hours or a duration/],
  ["periodic", "-5m", /negative/],
  ["periodic", "9007199254740991", /too large/],
  ["revision", "5m", /number of revisions/],
  ["revision", "-1", /number of revisions/],
];

for (const [mode, retention, message] of BAD) {
  Deno.test(`parseAutoCompaction() refuses ${mode} "${retention}"`, () => {
    assert.throws(() => parseAutoCompaction(mode, retention), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  });
}
