import assert from "node:assert/strict";
import {
  checkSchemaVersion,
  SCHEMA_VERSION,
} from "../../../src/backend/schema_version.ts";

Deno.test("checkSchemaVersion() accepts ours alone", () => {
  checkSchemaVersion(SCHEMA_VERSION, "db");
  for (const version of [SCHEMA_VERSION + 1, 0, NaN]) {
    assert.throws(() => checkSchemaVersion(version, "db"), { kind: "schema" });
  }
});
