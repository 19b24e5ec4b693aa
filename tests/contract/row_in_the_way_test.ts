import assert from "node:assert/strict";
import { makeBatch } from "../support/batches.ts";
import { databaseName, openDatabase } from "../support/database_server.ts";
import {
  HAS_POSTGRES,
  POSTGRES_SERVER,
  runOnPostgres,
} from "../support/postgres.ts";

if (!HAS_POSTGRES) {
  console.warn("Rows without their batch are not tested: no PostgreSQL");
}

Deno.test({
  name:
    "RemoteBackend: a row that is there without its batch ends the append, and says what to do",
  ignore: !HAS_POSTGRES,
  fn: async () => {
    const name = databaseName();
    const backend = openDatabase(POSTGRES_SERVER, name);
    try {
      await backend.open();
      await runOnPostgres(
        name,
        "INSERT INTO stele_kv VALUES (2, 0, 'k', 'v', 2, 1, 0, false)",
      );
      await assert.rejects(backend.append(makeBatch(1, 1)), {
        kind: "corrupt",
        message: /a part of it is in the way/,
      });
    } finally {
      await backend.close();
      await POSTGRES_SERVER.drop(name);
    }
  },
});
