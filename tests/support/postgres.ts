// deno-lint-ignore no-import-prefix -- pinned where it is used, as drivers do
import postgres from "npm:postgres@3.4.9";
import { type DatabaseServer, isReachable } from "./database_server.ts";

const url = Deno.env.get("STELE_TEST_POSTGRES") ??
  "postgres://postgres@127.0.0.1:5432";

/** `STELE_TEST_POSTGRES`, or the one on this machine. */
export const POSTGRES_SERVER: DatabaseServer = {
  url,
  drop: (database) =>
    runOnPostgres(
      "postgres",
      `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`,
    ),
};

/** Tests that need a server are left out where there is none. */
export const HAS_POSTGRES = await isReachable(url);

/** Runs a statement on the tests' server, for its effect. */
export function runOnPostgres(
  database: string,
  statement: string,
): Promise<void> {
  return runOnDatabase(`${url}/${database}`, statement);
}

/** Runs statements in the database that a URL names, for their effect. */
export async function runOnDatabase(
  databaseUrl: string,
  ...statements: string[]
): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    for (const statement of statements) await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
