import { databaseFixture } from "../support/database_server.ts";
import { HAS_MYSQL, MYSQL_SERVER } from "../support/mysql.ts";
import { HAS_POSTGRES, POSTGRES_SERVER } from "../support/postgres.ts";
import { testReplicaTable } from "./replica_table_contract.ts";

if (HAS_POSTGRES) {
  testReplicaTable(
    "ReplicaTable on PostgreSQL",
    () => databaseFixture(POSTGRES_SERVER),
  );
}

if (HAS_MYSQL) {
  testReplicaTable(
    "ReplicaTable on MySQL",
    () => databaseFixture(MYSQL_SERVER),
  );
}
