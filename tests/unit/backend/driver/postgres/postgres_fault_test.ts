import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import type { Fault } from "../../../../../src/backend/driver/remote/dialect.ts";
import { faultOf } from "../../../../../src/backend/driver/postgres/postgres_fault.ts";
import { PostgresError } from "../../../../../src/backend/driver/postgres/wire/postgres_error.ts";

/** As PostgreSQL and YugabyteDB say it. */
const FAULTS: readonly (readonly [string, string, Fault])[] = [
  ["23505", "duplicate key value violates unique constraint", "duplicate"],
  ["40001", "could not serialize access due to concurrent update", "transient"],
  ["40001", "Restart read required at: { read: … }", "transient"],
  [
    "40001",
    "Operation expired: Transaction … expired or aborted by a conflict: 40001",
    "transient",
  ],
  [
    "40001",
    "The catalog snapshot used for this transaction has been invalidated",
    "transient",
  ],
  ["40P01", "deadlock detected", "transient"],
  ["25006", "cannot execute INSERT in a read-only transaction", "transient"],
  [
    "25P03",
    "terminating connection due to idle-in-transaction timeout",
    "transient",
  ],
  ["57P01", "terminating connection due to administrator command", "transient"],
  ["57P03", "the database system is starting up", "transient"],
  ["57014", "canceling statement due to user request", "transient"],
  ["53300", "sorry, too many clients already", "transient"],
  ["08006", "connection lost", "transient"],
  ["08001", "no connection to a:1: refused", "transient"],
  ["26000", 'prepared statement "stele_1" does not exist', "transient"],
  [
    "XX000",
    "Catalog Version Mismatch: A DDL occurred while processing this query",
    "transient",
  ],
  [
    "XX000",
    "schema version mismatch for table …: expected 1, got 0",
    "transient",
  ],
  ["XX000", "Transaction … aborted: kConflict", "transient"],
  ["XX000", "Transaction … aborted: Heartbeat expired", "transient"],
  ["XX000", "could not find pathkey item to sort", "fatal"],
  ["53100", "could not extend file: No space left on device", "noSpace"],
  ["42501", "permission denied for table stele_kv", "fatal"],
  ["28P01", "password authentication failed", "fatal"],
  ["0A000", "LISTEN not supported yet", "fatal"],
];

for (const [code, message, fault] of FAULTS) {
  Deno.test(`faultOf() of ${code} "${message}" is ${fault}`, () => {
    assert.equal(faultOf(new PostgresError(message, code)), fault);
  });
}

Deno.test("faultOf() of what does not come from the server is fatal", () => {
  assert.equal(faultOf(new BackendError("Cannot read")), "fatal");
  assert.equal(faultOf(new Error("Restart read required")), "fatal");
  assert.equal(faultOf(undefined), "fatal");
});
