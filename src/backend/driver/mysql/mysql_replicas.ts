import { text, utf8 } from "../../../base/bytes.ts";
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
import type { Parameter } from "./literal.ts";
import type { Row } from "./mysql_connection.ts";
import type { ReplicaSql } from "./replica_sql.ts";

/** Runs the statements of one call, in one query. */
export type AskReplicas = (
  statements: (sql: ReplicaSql) => string,
  parameters: readonly Parameter[],
) => Promise<Row[]>;

/** The servers that share a database of MySQL or MariaDB: one query for each call. */
export class MysqlReplicas implements ReplicaDialect {
  readonly #ask: AskReplicas;

  constructor(ask: AskReplicas) {
    this.#ask = ask;
  }

  async announce(self: ReplicaRow, claimMs: number): Promise<Roster> {
    const rows = await this.#ask((sql) => sql.announce, [
      { sql: signedId(self.id) },
      { sql: signedId(self.incarnation) },
      claimMs,
      utf8(self.name),
      utf8(joinUrls(self.clientUrls)),
      utf8(self.version),
      self.appliedSeq,
      self.isStarved ? 1 : 0,
    ]);
    return rosterOf(rows.map(rosterRow));
  }

  async retire(id: bigint, incarnation: bigint): Promise<void> {
    const ids = [{ sql: signedId(id) }, { sql: signedId(incarnation) }];
    await this.#ask((sql) => sql.retire, ids);
  }

  async forget(silentMs: number): Promise<void> {
    await this.#ask((sql) => sql.forget, [silentMs]);
  }
}

function rosterRow(row: Row): RosterRow {
  const cells = row.map((cell) => cell === null ? "" : text(cell));
  const [kind, id, incarnation, name, urls, version, seq, ms, starved] = cells;
  const who = { id: unsignedId(id!), incarnation: unsignedId(incarnation!) };
  if (kind === "held") return { kind, holder: { ...who, leftMs: Number(ms) } };
  return {
    kind: "replica",
    entry: {
      ...who,
      name: name!,
      clientUrls: splitUrls(urls!),
      version: version!,
      appliedSeq: Number(seq),
      ageMs: Number(ms),
      isStarved: starved === "1",
    },
  };
}
