import { MAX_CLAIM_MS } from "../../replica_table.ts";

/** The statements of `ReplicaDialect`; `?` is a parameter (see `bind`). */
export interface ReplicaSql {
  /** One statement each; all of them can be run again. */
  readonly schema: readonly string[];
  readonly announce: string;
  readonly retire: string;
  readonly forget: string;
}

const NOW_MS = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/** `prefix` is a part of identifiers: checked where it is read. */
export function replicaSql(prefix: string, tableOptions: string): ReplicaSql {
  const replica = `${prefix}replica`;
  const sequencer = `${prefix}sequencer`;
  return {
    schema: [
      `CREATE TABLE IF NOT EXISTS ${replica} (
  id          BIGINT NOT NULL,
  incarnation BIGINT NOT NULL,
  name        BLOB NOT NULL,
  client_urls BLOB NOT NULL,
  version     BLOB NOT NULL,
  applied_seq BIGINT NOT NULL,
  starved     TINYINT NOT NULL,
  seen_ms     BIGINT NOT NULL,
  PRIMARY KEY (id, incarnation)
) ${tableOptions}`,
      `CREATE TABLE IF NOT EXISTS ${sequencer} (
  one         TINYINT NOT NULL,
  id          BIGINT NOT NULL,
  incarnation BIGINT NOT NULL,
  until_ms    BIGINT NOT NULL,
  PRIMARY KEY (one)
) ${tableOptions}`,
    ],
    // Primary keys; then both tables whole: they have a few rows. Where nobody ever claimed, a claim that has run
    // out is put there first. Whoever waits for the row of the claim takes the moment before it waited: the claim is
    // shorter, never longer.
    announce: `SET @ms = ${NOW_MS}, @id = ?, @incarnation = ?, @claim = ?;
REPLACE INTO ${replica} (id, incarnation, name, client_urls, version, applied_seq, starved, seen_ms)
VALUES (@id, @incarnation, ?, ?, ?, ?, ?, @ms);
INSERT IGNORE INTO ${sequencer} (one, id, incarnation, until_ms)
SELECT 1, @id, @incarnation, @ms FROM DUAL WHERE @claim > 0;
UPDATE ${sequencer} SET id = @id, incarnation = @incarnation, until_ms = @ms + @claim
WHERE one = 1 AND @claim > 0 AND ((id = @id AND incarnation = @incarnation)
  OR until_ms <= @ms OR until_ms > @ms + @claim + ${MAX_CLAIM_MS});
SELECT 'replica', id, incarnation, name, client_urls, version, applied_seq, @ms - seen_ms, starved FROM ${replica}
UNION ALL
SELECT 'held', id, incarnation, '', '', '', 0, until_ms - @ms, 0 FROM ${sequencer}`,
    // Primary keys.
    retire: `SET @id = ?, @incarnation = ?;
DELETE FROM ${replica} WHERE id = @id AND incarnation = @incarnation;
DELETE FROM ${sequencer} WHERE one = 1 AND id = @id AND incarnation = @incarnation`,
    // The whole table, which is small. One row at a time belongs to one server: nobody waits for two of them.
    forget: `DELETE FROM ${replica} WHERE seen_ms < ${NOW_MS} - ?`,
  };
}
