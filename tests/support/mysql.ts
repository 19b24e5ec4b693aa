// deno-lint-ignore no-import-prefix -- pinned where it is used, as drivers do
import mysql from "npm:mysql2@3.24.6/promise";
import { type DatabaseServer, isReachable } from "./database_server.ts";

const url = Deno.env.get("STELE_TEST_MYSQL") ?? "mysql://root@127.0.0.1:3306";

/** `STELE_TEST_MYSQL`, or the one on this machine; MariaDB will do. */
export const MYSQL_SERVER: DatabaseServer = {
  url,
  drop: async (database) => {
    await runOnMysql(`DROP DATABASE IF EXISTS ${database}`);
  },
};

/** Tests that need a server are left out where there is none. */
export const HAS_MYSQL = await isReachable(url);

if (!HAS_MYSQL) {
  console.warn(`tests on MySQL are skipped: nothing listens at ${place(url)}`);
}

/** Runs a statement, or several; gives back the rows of a single one. */
export async function runOnMysql(
  statement: string,
): Promise<Record<string, unknown>[]> {
  const connection = await mysql.createConnection({
    uri: url.replace(/^mariadb:/, "mysql:"),
    multipleStatements: true,
  });
  try {
    const [rows] = await connection.query(statement);
    return Array.isArray(rows) ? rows as Record<string, unknown>[] : [];
  } finally {
    await connection.end();
  }
}

/** Without the password. */
function place(text: string): string {
  return new URL(text).host;
}
