import assert from "node:assert/strict";
import { Registry } from "../../../src/base/metrics.ts";
import { registerDatabaseMetrics } from "../../../src/http/database_metrics.ts";

Deno.test("registerDatabaseMetrics() shows how the database is when it is asked", () => {
  let link = { isUp: true, outages: 0, awayMs: 0 };
  const registry = new Registry();
  registerDatabaseMetrics(registry, () => link);
  assert.match(registry.exposition(), /^stele_database_up 1$/m);
  link = { isUp: false, outages: 2, awayMs: 1500 };
  const text = registry.exposition();
  assert.match(text, /^stele_database_up 0$/m);
  assert.match(text, /^stele_database_outages_total 2$/m);
  assert.match(text, /^stele_database_away_seconds_total 1.5$/m);
});
