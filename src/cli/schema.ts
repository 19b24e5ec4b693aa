import { Command, Option } from "commander";
import { mysqlSchemaText } from "../backend/driver/mysql/sql.ts";
import {
  POSTGRES,
  postgresSchemaText,
  YUGABYTEDB,
} from "../backend/driver/postgres/sql.ts";
import {
  isTablePrefix,
  TABLE_PREFIX_RULE,
} from "../backend/driver/remote/datastore_settings.ts";
import { type CommandContext, UsageError } from "./command_context.ts";

/** Engine → the statements that make its tables. */
const TEXTS = {
  postgres: (prefix: string) => postgresSchemaText(POSTGRES, prefix),
  yugabytedb: (prefix: string) => postgresSchemaText(YUGABYTEDB, prefix),
  mysql: mysqlSchemaText,
};

interface SchemaFlags {
  readonly engine: keyof typeof TEXTS;
  readonly tablePrefix: string;
}

/** `stele schema`: the tables, for databases where the server's own user may create none. */
export function schemaCommand({ process }: CommandContext): Command {
  return new Command("schema")
    .description(
      "Prints the SQL that makes Stele's tables, for somebody who may run it. It can be run again; a server that finds the tables creates nothing.",
    )
    .option("--print", "print it, which is all that this command does")
    .addOption(
      new Option("--engine <name>", "whose SQL")
        .choices(Object.keys(TEXTS)).default("postgres"),
    )
    .option(
      "--table-prefix <prefix>",
      "what the tables' names begin with, as the server is told",
      checkedPrefix,
      "stele_",
    )
    .addHelpText("after", EXAMPLES)
    .action(({ engine, tablePrefix }: SchemaFlags) =>
      process.stdout(TEXTS[engine](tablePrefix))
    );
}

const EXAMPLES = `
Examples:
  stele schema --print | psql -d stele
  stele schema --print --engine=yugabytedb --table-prefix=west_ | ysqlsh -d stele
  stele schema --print --engine=mysql | mysql stele
  GRANT SELECT, INSERT, UPDATE, DELETE ON …    is all that the server then needs: docs/databases.md`;

function checkedPrefix(text: string): string {
  if (isTablePrefix(text)) return text;
  throw new UsageError(
    `Cannot use table-prefix "${text}": ${TABLE_PREFIX_RULE}`,
  );
}
