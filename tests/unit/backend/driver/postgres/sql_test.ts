import assert from "node:assert/strict";
import {
  BEGIN_CONSISTENT_READ,
  createDatabase,
  type Flavour,
  POSTGRES,
  postgresSql,
  SELECT_SERVER,
  YUGABYTEDB,
} from "../../../../../src/backend/driver/postgres/sql.ts";

/** Every statement that the driver ever sends, by name. */
function statements(flavour: Flavour): Map<string, string> {
  const named = new Map<string, string>([
    ["selectServer", SELECT_SERVER],
    ["beginConsistentRead", BEGIN_CONSISTENT_READ],
    ["createDatabase", createDatabase('a "b"', flavour)],
  ]);
  const add = (name: string, value: unknown) => {
    if (value === "") return;
    if (typeof value === "string") named.set(name, value);
    else if (Array.isArray(value)) {
      value.forEach((each, i) => add(`${name}[${i}]`, each));
    } else {
      for (const [part, each] of Object.entries(value as object)) {
        add(name === "" ? part : `${name}.${part}`, each);
      }
    }
  };
  add("", postgresSql(flavour, "stele_"));
  add("sessionSetUp", flavour.sessionSetUp);
  return named;
}

function goldenText(flavour: Flavour): string {
  return [...statements(flavour)]
    .map(([name, statement]) => `-- ${name}\n${statement};\n`).join("\n");
}

for (const flavour of [POSTGRES, YUGABYTEDB]) {
  const golden = new URL(`golden/${flavour.name}.sql`, import.meta.url);

  // What changes here changes for databases that exist: STELE_UPDATE_GOLDEN=1 writes the file, to be read in review.
  Deno.test(`postgresSql() for ${flavour.name} is what is in ${flavour.name}.sql`, async () => {
    const text = goldenText(flavour);
    if (Deno.env.get("STELE_UPDATE_GOLDEN") === "1") {
      await Deno.writeTextFile(golden, text);
    }
    assert.equal(text, await Deno.readTextFile(golden));
  });
}

/** What YugabyteDB lacks, has switched off, or does in another way; and what no pooler can carry. */
const FORBIDDEN: readonly (readonly [RegExp, string])[] = [
  [/\b(SMALL|BIG)?SERIAL\b|GENERATED .* AS IDENTITY/i, "numbers itself"],
  [/\b(nextval|currval|setval)\s*\(/i, "uses a sequence"],
  [/\b(LISTEN|NOTIFY|UNLISTEN)\b|pg_notify/i, "notifies"],
  [/pg_(try_)?advisory/i, "takes an advisory lock"],
  [/\bLOCK\s+TABLE\b/i, "locks a table"],
  [/\bSAVEPOINT\b|ROLLBACK TO/i, "has a savepoint"],
  [/\bSET\s+TRANSACTION\b/i, "sets a transaction late"],
  [/\bDEFERRABLE\b/i, "is deferrable"],
  [/\bCREATE\s+(UNIQUE\s+)?INDEX\b/i, "makes a secondary index"],
  [/\b(TEMP|TEMPORARY|UNLOGGED)\b/i, "makes a table that is none"],
  [/\bCREATE\s+(FUNCTION|TRIGGER|TYPE|EXTENSION|RULE)\b/i, "makes code"],
  [/\bFOREIGN\s+KEY\b|\bREFERENCES\b/i, "has a foreign key"],
  [/\bCOLLATE\b/i, "depends on a collation"],
  [/\bVACUUM\b|\bREINDEX\b|\bCLUSTER\b/i, "tidies up"],
  [/;\s*\S/, "is several statements"],
  [
    /\bpg_(database|total_relation)_size\b/i,
    "asks for a size that is not known",
  ],
];

Deno.test("statements for YugabyteDB use nothing that it does not have", () => {
  for (const [name, statement] of statements(YUGABYTEDB)) {
    for (const [pattern, what] of FORBIDDEN) {
      assert.doesNotMatch(statement, pattern, `${name} ${what}`);
    }
  }
});

Deno.test("tables for YugabyteDB are sharded by ranges: each column of a key says how it is sorted", () => {
  const tables = postgresSql(YUGABYTEDB, "stele_").schema
    .filter((statement) => statement.startsWith("CREATE TABLE"))
    .map((statement) => [statement, statement] as const);
  assert.equal(tables.length, 6);
  for (const [name, statement] of tables) {
    const [, key] = /PRIMARY KEY \(([^)]*)\)/.exec(statement) ?? [];
    for (const column of (key ?? "").split(",")) {
      assert.match(column, /^\s*\w+ ASC$/, name);
    }
  }
});

Deno.test("PostgreSQL's tables have no ASC in their keys, which it refuses", () => {
  for (const [name, statement] of statements(POSTGRES)) {
    assert.doesNotMatch(statement, /PRIMARY KEY \([^)]*ASC/, name);
  }
});

Deno.test("an append to YugabyteDB updates no row in place but those of state", () => {
  const { insertBatch } = postgresSql(YUGABYTEDB, "stele_");
  assert.doesNotMatch(insertBatch, /ON CONFLICT|UPDATE/);
});

Deno.test("createDatabase() quotes, and advises colocation where there is such a thing", () => {
  assert.equal(createDatabase('a"b', POSTGRES), 'CREATE DATABASE "a""b"');
  assert.equal(
    createDatabase("a", YUGABYTEDB),
    'CREATE DATABASE "a" WITH COLOCATION = true',
  );
});

Deno.test("a page for YugabyteDB is one that it can read again by itself", () => {
  const { rows, bytes } = YUGABYTEDB.maxPage;
  assert.ok(rows * 80 + bytes < 256 * 1024);
});
