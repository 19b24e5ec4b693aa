import { createHash } from "node:crypto";
import { dropDatabase } from "./database_admin.ts";
import { databaseName } from "./database_server.ts";

/** One that tests may use, without a database: `ENGINE://USER:PASSWORD@HOST:PORT`. Undefined: the embedded one. */
const SERVER_URL = Deno.env.get("STELE_TEST_DATABASE");

/**
 * The database of this test file's own, which the first server creates. Each store in it has tables of its own, since
 * tables are made faster than databases are.
 */
const DATABASE = databaseName();

/** Whether the servers under test keep their data in directories. */
export const IS_EMBEDDED = SERVER_URL === undefined;

/** Prints that `what` is skipped, unless the servers under test keep their data in directories. */
export function skippedOnDatabase(what: string): boolean {
  if (IS_EMBEDDED) return false;
  console.log(`skipped: ${what} is about the embedded database`);
  return true;
}

/**
 * The endpoint that stands for a data directory where `STELE_TEST_DATABASE` names a server: the same one for the same
 * directory, so that a restart finds its data. Undefined: the data is in the directory itself.
 */
export function endpointFor(dataDir: string): string | undefined {
  if (SERVER_URL === undefined) return undefined;
  const digest = createHash("sha256").update(dataDir).digest("hex");
  return `${SERVER_URL}/${DATABASE}?table-prefix=t${digest.slice(0, 12)}_`;
}

if (SERVER_URL !== undefined) {
  Deno.test.afterAll(() => dropDatabase(SERVER_URL, DATABASE));
}
