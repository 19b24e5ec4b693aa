/**
 * Appends batches to a SQLite store until it is killed, and prints the seq of each one that was committed.
 *
 *   deno run -A tests/support/sqlite_writer.ts DIR
 */
import { SqliteBackend } from "../../src/backend/driver/sqlite/sqlite_backend.ts";
import { SystemClock } from "../../src/base/clock.ts";
import { makeBatch } from "./batches.ts";

const backend = new SqliteBackend({ dir: Deno.args[0]! }, new SystemClock());
const encoder = new TextEncoder();
let { seq, revision } = await backend.open();
Deno.stdout.writeSync(encoder.encode(`${seq}\n`));
for (;;) {
  seq++;
  const batch = makeBatch(seq, revision, { rows: rowsAt(seq) });
  revision = batch.lastRev;
  const outcome = await backend.append(batch);
  if (outcome !== "committed") throw new Error(outcome);
  Deno.stdout.writeSync(encoder.encode(`${seq}\n`));
}

/** How many rows the writer puts into a batch. */
function rowsAt(seq: number): number {
  return 1 + seq % 40;
}
