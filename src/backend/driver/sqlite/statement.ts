import type { DatabaseSync } from "node:sqlite";

/** What can be bound. */
export type Parameter = number | bigint | string | Uint8Array;

/** A prepared statement whose rows are arrays: half the cost of objects, and `Row` says what is in them. */
export interface Statement<Row = never> {
  get(...parameters: Parameter[]): Row | undefined;
  all(...parameters: Parameter[]): Row[];
  run(...parameters: Parameter[]): unknown;
}

/** `node:sqlite` has `setReturnArrays`, its types in this version of Deno do not. */
interface ReturnsArrays {
  setReturnArrays(enabled: boolean): void;
}

export function prepare<Row = never>(
  db: DatabaseSync,
  text: string,
): Statement<Row> {
  const statement = db.prepare(text);
  (statement as unknown as ReturnsArrays).setReturnArrays(true);
  return statement as unknown as Statement<Row>;
}

/** Runs one statement to its end. Unlike `DatabaseSync.exec` it says in its errors which ones they are. */
export function execute(db: DatabaseSync, text: string): void {
  prepare(db, text).all();
}
