import { databaseFixture } from "../support/database_server.ts";
import { HAS_MYSQL, MYSQL_SERVER } from "../support/mysql.ts";
import { testBackend } from "./backend_contract.ts";

if (HAS_MYSQL) {
  testBackend("RemoteBackend on MySQL", () => databaseFixture(MYSQL_SERVER));
}
