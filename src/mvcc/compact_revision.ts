import { utf8 } from "../base/bytes.ts";

/** State kind Meta: the revision below which reads fail, in decimal; missing before the first compaction. */
export const COMPACT_REVISION_KEY: Uint8Array = utf8("compact_revision");

/**
 * State kind Meta, only where several servers write to the log: up to which revision the rows that compaction made
 * unreachable are gone from the database, in decimal.
 */
export const REAPED_REVISION_KEY: Uint8Array = utf8("reaped_revision");
