import { utf8 } from "../base/bytes.ts";
import { BackendError } from "./backend.ts";

/** The layout of the tables that this build reads and writes. 2: rows and batches have checksums. */
export const SCHEMA_VERSION = 2;

/** What this build migrates from, and reads where it only reads. */
export const OLDEST_SCHEMA_VERSION = 1;

/** Where a SQL driver keeps it in `stele_meta`. Reserved: replicated state never uses this key. */
export const SCHEMA_VERSION_KEY: Uint8Array = utf8("schema_version");

/** Refuses every version but those that this build can read. */
export function checkSchemaVersion(found: number, database: string): void {
  if (found >= OLDEST_SCHEMA_VERSION && found <= SCHEMA_VERSION) return;
  throw new BackendError(
    `Cannot open ${
      JSON.stringify(database)
    }: its schema has version ${found}, ` +
      `this build knows version ${SCHEMA_VERSION}`,
    { kind: "schema" },
  );
}
