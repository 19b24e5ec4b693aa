import { databaseFixture } from "../support/database_server.ts";
import { HAS_POSTGRES, POSTGRES_SERVER } from "../support/postgres.ts";
import { testBackend } from "./backend_contract.ts";

if (HAS_POSTGRES) {
  testBackend(
    "RemoteBackend on PostgreSQL",
    () => databaseFixture(POSTGRES_SERVER),
  );
}
