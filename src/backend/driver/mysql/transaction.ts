import type { MysqlConnection } from "./mysql_connection.ts";

/** How a transaction is sent. */
export interface TransactionOptions {
  /** Statements are sent together up to this length: most transactions are one round trip. */
  readonly queryBytes: number;
  /**
   * One statement at a time. A node of a Galera cluster may give a transaction up at any moment in favour of one from
   * another node, and tells the next query only: statements further on in the same query, COMMIT included, then run
   * without the ones before them, and succeed.
   */
  readonly isOneByOne: boolean;
}

/** Runs all statements or none. Afterwards the connection is in no transaction, or lost. */
export async function runTransaction(
  connection: Pick<MysqlConnection, "query" | "destroy">,
  statements: readonly string[],
  options: TransactionOptions,
): Promise<void> {
  const all = ["START TRANSACTION", ...statements, "COMMIT"];
  const queries = options.isOneByOne ? all : gather(all, options.queryBytes);
  try {
    for (const query of queries) await connection.query(query);
  } catch (error) {
    await rollBack(connection);
    throw error;
  }
}

/** A connection that is lost has ended its transaction already. */
export async function rollBack(
  connection: Pick<MysqlConnection, "query" | "destroy">,
): Promise<void> {
  await connection.query("ROLLBACK").catch(() => connection.destroy());
}

/** Statements behind each other, up to a length; one that alone is longer stays alone. */
function gather(statements: readonly string[], maxBytes: number): string[] {
  const queries: string[] = [];
  let open = "";
  for (const statement of statements) {
    if (open === "") open = statement;
    else if (open.length + statement.length + 2 <= maxBytes) {
      open += `;\n${statement}`;
    } else {
      queries.push(open);
      open = statement;
    }
  }
  if (open !== "") queries.push(open);
  return queries;
}
