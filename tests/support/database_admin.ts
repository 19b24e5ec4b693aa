// deno-lint-ignore-file no-import-prefix -- pinned where they are used, as drivers do
import mysql from "npm:mysql2@3.24.6/promise";
import postgres from "npm:postgres@3.4.9";

/** Drops a database of a server (`ENGINE://USER:PASSWORD@HOST:PORT`), if there is one of this name. */
export async function dropDatabase(
  serverUrl: string,
  database: string,
): Promise<void> {
  const { protocol } = new URL(serverUrl);
  if (protocol === "mysql:" || protocol === "mariadb:") {
    await runOnMysql(serverUrl, `DROP DATABASE IF EXISTS ${database}`);
  } else {
    await runOnPostgres(
      serverUrl,
      `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`,
    );
  }
}

async function runOnPostgres(serverUrl: string, sql: string): Promise<void> {
  const url = serverUrl.replace(/^[a-z]+:/, "postgres:");
  const server = postgres(`${url}/postgres`, { max: 1, onnotice: () => {} });
  try {
    await server.unsafe(sql);
  } finally {
    await server.end();
  }
}

async function runOnMysql(serverUrl: string, sql: string): Promise<void> {
  const uri = serverUrl.replace(/^[a-z]+:/, "mysql:");
  const connection = await mysql.createConnection({ uri });
  try {
    await connection.query(sql);
  } finally {
    await connection.end();
  }
}
