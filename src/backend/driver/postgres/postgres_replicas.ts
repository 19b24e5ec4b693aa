import type { ReplicaRow, Roster } from "../../replica_table.ts";
import {
  joinUrls,
  type ReplicaDialect,
  rosterOf,
  type RosterRow,
  signedId,
  splitUrls,
  unsignedId,
} from "../remote/replica_dialect.ts";
import type { ReplicaSql } from "./replica_sql.ts";
import {
  bigint,
  decimalIn,
  int8,
  numberIn,
  type Row,
  smallint,
  text,
  textIn,
  type Value,
} from "./wire/binary.ts";

/** Runs one statement. */
export type AskReplicas = (
  statement: (sql: ReplicaSql) => string,
  parameters: readonly Value[],
) => Promise<Row[]>;

/** The servers that share a database of PostgreSQL or YugabyteDB: one statement for each call. */
export class PostgresReplicas implements ReplicaDialect {
  readonly #ask: AskReplicas;

  constructor(ask: AskReplicas) {
    this.#ask = ask;
  }

  async announce(self: ReplicaRow, claimMs: number): Promise<Roster> {
    const rows = await this.#ask((sql) => sql.announce, [
      idOf(self.id),
      idOf(self.incarnation),
      text(self.name),
      text(joinUrls(self.clientUrls)),
      text(self.version),
      bigint(self.appliedSeq),
      bigint(claimMs),
      smallint(self.isStarved ? 1 : 0),
    ]);
    return rosterOf(rows.map(rosterRow));
  }

  async retire(id: bigint, incarnation: bigint): Promise<void> {
    const ids = [idOf(id), idOf(incarnation)];
    await this.#ask((sql) => sql.retire, ids);
  }

  async forget(silentMs: number): Promise<void> {
    await this.#ask((sql) => sql.forget, [bigint(silentMs)]);
  }
}

function idOf(id: bigint): Value {
  return int8(BigInt(signedId(id)));
}

function rosterRow(row: Row): RosterRow {
  const kind = textIn(row, 0);
  const who = {
    id: unsignedId(decimalIn(row, 1)),
    incarnation: unsignedId(decimalIn(row, 2)),
  };
  const ms = numberIn(row, 7);
  if (kind === "claimed" || kind === "held") {
    return { kind, holder: { ...who, leftMs: ms } };
  }
  return {
    kind: "replica",
    entry: {
      ...who,
      name: textIn(row, 3),
      clientUrls: splitUrls(textIn(row, 4)),
      version: textIn(row, 5),
      appliedSeq: numberIn(row, 6),
      ageMs: ms,
      isStarved: numberIn(row, 8) === 1,
    },
  };
}
