import assert from "node:assert/strict";
import {
  checkSchemaVersion,
  OLDEST_SCHEMA_VERSION,
  SCHEMA_VERSION,
} from "../../../src/backend/schema_version.ts";

Deno.test("checkSchemaVersion() accepts ours, and what can be migrated", () => {
  checkSchemaVersion(SCHEMA_VERSION, "db");
  checkSchemaVersion(OLDEST_SCHEMA_VERSION, "db");
  for (const version of [SCHEMA_VERSION + 1, OLDEST_SCHEMA_VERSION - 1, NaN]) {
    assert.throws(() => checkSchemaVersion(version, "db"), { kind: "schema" });
  }
});
