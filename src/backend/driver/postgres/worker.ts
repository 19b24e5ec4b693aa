import { SystemClock } from "../../../base/clock.ts";
import { serveDatabase } from "../remote/serve_database.ts";
import { PostgresDialect } from "./postgres_dialect.ts";

/** The worker's entry: the one thread that talks to PostgreSQL, with the permission to reach it and no other. */
const clock = new SystemClock();
serveDatabase(
  (address, credentials) => new PostgresDialect(address, credentials, clock),
  clock,
);
