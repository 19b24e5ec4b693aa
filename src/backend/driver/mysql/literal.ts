import { assert } from "../../../base/assert.ts";
import type { RowId } from "../../backend.ts";
import { decimal } from "../remote/row_output.ts";

/** What a `?` stands for: a whole number, bytes, or SQL that was made here. */
export type Parameter = number | Uint8Array | { readonly sql: string };

/**
 * The statement with its parameters in it.
 *
 * The protocol binds parameters in prepared statements only, of which each is a round trip; a batch is one as text.
 * Bytes are written in hexadecimal: no value can end a literal, whatever `sql_mode` and the character set are.
 */
export function bind(
  statement: string,
  parameters: readonly Parameter[],
): string {
  const parts = statement.split("?");
  assert(parts.length === parameters.length + 1, "parameters do not match");
  let sql = parts[0]!;
  for (let i = 0; i < parameters.length; i++) {
    sql += literal(parameters[i]!) + parts[i + 1]!;
  }
  return sql;
}

/** Bytes as SQL. */
export function bytesLiteral(bytes: Uint8Array): string {
  return `x'${bytes.toHex()}'`;
}

/** A name as SQL: quotes are doubled. */
export function identifier(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

/** Row ids as SQL, for a `(rev, sub) IN (?)`; one that names no row if there are none. */
export function rowIdList(ids: readonly RowId[]): { sql: string } {
  if (ids.length === 0) return { sql: "(NULL, NULL)" };
  const tuples = ids.map(({ rev, sub }) =>
    `(${decimal(rev)}, ${decimal(sub)})`
  );
  return { sql: tuples.join(", ") };
}

function literal(parameter: Parameter): string {
  if (typeof parameter === "number") return decimal(parameter);
  if (parameter instanceof Uint8Array) return bytesLiteral(parameter);
  return parameter.sql;
}
