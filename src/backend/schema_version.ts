import { utf8 } from "../base/bytes.ts";
import { BackendError } from "./backend.ts";

/** The layout of the tables that this build reads and writes. */
export const SCHEMA_VERSION = 1;

/** Where a SQL driver keeps it in `stele_meta`. Reserved: replicated state never uses this key. */
export const SCHEMA_VERSION_KEY: Uint8Array = utf8("schema_version");

/** Refuses every version but ours; there is none older to migrate from yet. */
export function checkSchemaVersion(found: number, database: string): void {
  if (found === SCHEMA_VERSION) return;
  throw new BackendError(
    `Cannot open ${
      JSON.stringify(database)
    }: its schema has version ${found}, ` +
      `this build knows version ${SCHEMA_VERSION}`,
    { kind: "schema" },
  );
}
