import { SystemClock } from "../../../base/clock.ts";
import { serveDatabase } from "../remote/serve_database.ts";
import { MysqlDialect } from "./mysql_dialect.ts";

/** The worker's entry: the one thread that talks to MySQL, with the permission to reach it and no other. */
const clock = new SystemClock();
serveDatabase(
  (address, credentials) => new MysqlDialect(address, credentials, clock),
  clock,
);
