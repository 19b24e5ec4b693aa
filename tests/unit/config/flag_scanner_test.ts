import assert from "node:assert/strict";
import { ConfigError } from "../../../src/config/config_error.ts";
import { scanFlags } from "../../../src/config/flag_scanner.ts";

const GOOD: readonly (readonly [string[], Record<string, string>])[] = [
  [[], {}],
  [["--name=a"], { name: "a" }],
  [["--name", "a"], { name: "a" }],
  [["-name=a"], { name: "a" }],
  [["-name", "a"], { name: "a" }],
  [["--name="], { name: "" }],
  [["--name", ""], { name: "" }],
  [["--name", "--name"], { name: "--name" }],
  [["--name=a=b"], { name: "a=b" }],
  [["--name=a\nb"], { name: "a\nb" }],
  [["--name=a", "--name=b"], { name: "b" }],
  [["--quota-backend-bytes", "-1"], { "quota-backend-bytes": "-1" }],
  [["--pre-vote"], { "pre-vote": "true" }],
  [["--pre-vote=false"], { "pre-vote": "false" }],
  [["--pre-vote", "--name", "a"], { "pre-vote": "true", name: "a" }],
  [["-h"], { help: "true" }],
  [["--name=a", "--"], { name: "a" }],
];

for (const [argv, expected] of GOOD) {
  Deno.test(`scanFlags() reads ${JSON.stringify(argv)}`, () => {
    assert.deepEqual(Object.fromEntries(scanFlags(argv)), expected);
  });
}

const BAD: readonly (readonly [string[], RegExp])[] = [
  [["a"], /Cannot use "a": it is not a flag/],
  [["--pre-vote", "false"], /Cannot use "false": it is not a flag/],
  [["--", "a"], /Cannot use "--"/],
  [["-"], /Cannot use "-"/],
  [["---name=a"], /Cannot use "---name=a"/],
  [["--=a"], /Cannot use "--=a"/],
  [["--name"], /--name: it needs a value/],
  [["--nope-at-all"], /--nope-at-all: there is no such flag$/],
  [["--listen-client-url=a"], /did you mean --listen-client-urls\?/],
  [["--Name=a"], /did you mean --name\?/],
  [
    ["--experimental-compaction-batch-limit=1"],
    /removed the experimental flags; use --compaction-batch-limit$/,
  ],
  [
    ["--experimental-initial-corrupt-check"],
    /use --feature-gates=InitialCorruptCheck=true$/,
  ],
  [["--experimental-nope"], /removed the experimental flags$/],
  [["--enable-v2"], /went away with etcd's v2 API/],
];

for (const [argv, message] of BAD) {
  Deno.test(`scanFlags() refuses ${JSON.stringify(argv)}`, () => {
    assert.throws(() => scanFlags(argv), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  });
}
