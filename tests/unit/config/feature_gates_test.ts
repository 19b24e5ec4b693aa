import assert from "node:assert/strict";
import {
  FEATURE_GATES,
  parseFeatureGates,
} from "../../../src/config/feature_gates.ts";

Deno.test("parseFeatureGates() changes the gates it names", () => {
  assert.deepEqual(parseFeatureGates(""), FEATURE_GATES);
  assert.deepEqual(
    parseFeatureGates("InitialCorruptCheck=true, FastLeaseKeepAlive=false,"),
    { ...FEATURE_GATES, InitialCorruptCheck: true, FastLeaseKeepAlive: false },
  );
});

const BAD: readonly (readonly [string, RegExp])[] = [
  ["Nope=true", /etcd has none of that name$/],
  ["InitialCoruptCheck=true", /did you mean InitialCorruptCheck\?/],
  ["toString=true", /etcd has none/],
  ["PriorityRequest", /must be true or false/],
  ["PriorityRequest=maybe", /must be true or false/],
  ["LeaseCheckpointPersist=true", /needs LeaseCheckpoint/],
];

for (const [text, message] of BAD) {
  Deno.test(`parseFeatureGates() refuses ${text}`, () => {
    assert.throws(() => parseFeatureGates(text), { message });
  });
}
