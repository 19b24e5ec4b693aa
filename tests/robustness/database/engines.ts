import type { DatabaseServer } from "../../support/database_server.ts";
import { PostgresWire } from "../../support/fault_proxy_postgres.ts";
import type { Wire } from "../../support/fault_proxy_wire.ts";
import { HAS_POSTGRES, POSTGRES_SERVER } from "../../support/postgres.ts";
import { MysqlWire } from "../../support/fault_proxy_mysql.ts";
import { HAS_MYSQL, MYSQL_SERVER } from "../../support/mysql.ts";
import type { EngineErrors } from "./fault_mix.ts";
import { MARIADB_ERRORS } from "./mysql_errors.ts";
import { POSTGRES_ERRORS, YUGABYTEDB_ERRORS } from "./postgres_errors.ts";

/** A database server that faults can be put in front of. */
export interface FaultyEngine {
  readonly name: string;
  readonly server: DatabaseServer;
  readonly isReachable: boolean;
  readonly makeWire: () => Wire;
  /** By whose manners: YugabyteDB speaks PostgreSQL's protocol, and has errors of its own. */
  readonly errors: Readonly<Record<string, EngineErrors>>;
}

export const ENGINES: readonly FaultyEngine[] = [{
  name: "PostgreSQL",
  server: POSTGRES_SERVER,
  isReachable: HAS_POSTGRES,
  makeWire: () => new PostgresWire(),
  errors: { PostgreSQL: POSTGRES_ERRORS, YugabyteDB: YUGABYTEDB_ERRORS },
}, {
  name: "MariaDB",
  server: MYSQL_SERVER,
  isReachable: HAS_MYSQL,
  makeWire: () => new MysqlWire(),
  errors: { MariaDB: MARIADB_ERRORS },
}];

/** A test of every engine that is there, at the same time: most of it is waiting. */
export function testOnEngines(
  name: string,
  run: (engine: FaultyEngine) => Promise<void>,
): void {
  const engines = ENGINES.filter(({ isReachable }) => isReachable);
  Deno.test({
    name,
    ignore: engines.length === 0,
    async fn() {
      const runs = await Promise.allSettled(engines.map(run));
      for (const [i, ended] of runs.entries()) {
        if (ended.status === "fulfilled") continue;
        throw new Error(`on ${engines[i]!.name}`, { cause: ended.reason });
      }
    },
  });
}

for (const { name, server, isReachable } of ENGINES) {
  if (isReachable) continue;
  const { host } = new URL(server.url);
  console.log(`skipped: no ${name} answers at ${host}`);
}
