import { MAX_CLAIM_MS } from "../../replica_table.ts";
import type { Flavour } from "./sql.ts";

/** The statements of `ReplicaDialect`, for PostgreSQL and for YugabyteDB. */
export interface ReplicaSql {
  /** One statement each; all of them can be run again. */
  readonly schema: readonly string[];
  readonly announce: string;
  readonly retire: string;
  readonly forget: string;
}

const NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/** `prefix` is a part of identifiers: checked where it is read. */
export function replicaSql(flavour: Flavour, prefix: string): ReplicaSql {
  const { keyOrder } = flavour;
  const replica = `${prefix}replica`;
  const sequencer = `${prefix}sequencer`;
  return {
    schema: [
      `CREATE TABLE IF NOT EXISTS ${replica} (
  id          bigint NOT NULL,
  incarnation bigint NOT NULL,
  name        text NOT NULL,
  client_urls text NOT NULL,
  version     text NOT NULL,
  applied_seq bigint NOT NULL,
  starved     smallint NOT NULL,
  seen_ms     bigint NOT NULL,
  PRIMARY KEY (id${keyOrder}, incarnation${keyOrder})
)`,
      `CREATE TABLE IF NOT EXISTS ${sequencer} (
  one         smallint NOT NULL,
  id          bigint NOT NULL,
  incarnation bigint NOT NULL,
  until_ms    bigint NOT NULL,
  PRIMARY KEY (one${keyOrder})
)`,
    ],
    // Primary keys; then both tables whole, as they were before: they have a few rows. `claimed` has the new claim.
    // Whoever waits for the row of the claim takes the moment before it waited: the claim is shorter, never longer.
    announce: `WITH moment AS (SELECT ${NOW_MS} AS ms), announced AS (
  INSERT INTO ${replica} (id, incarnation, name, client_urls, version, applied_seq, starved, seen_ms)
  SELECT $1::bigint, $2::bigint, $3::text, $4::text, $5::text, $6::bigint, $8::smallint, ms FROM moment
  ON CONFLICT (id, incarnation) DO UPDATE SET name = excluded.name, client_urls = excluded.client_urls,
    version = excluded.version, applied_seq = excluded.applied_seq, starved = excluded.starved, seen_ms = excluded.seen_ms
), claimed AS (
  INSERT INTO ${sequencer} AS held (one, id, incarnation, until_ms)
  SELECT 1, $1::bigint, $2::bigint, ms + $7::bigint FROM moment WHERE $7::bigint > 0
  ON CONFLICT (one) DO UPDATE SET id = excluded.id, incarnation = excluded.incarnation, until_ms = excluded.until_ms
  WHERE (held.id = excluded.id AND held.incarnation = excluded.incarnation)
    OR held.until_ms <= excluded.until_ms - $7::bigint OR held.until_ms > excluded.until_ms + ${MAX_CLAIM_MS}
  RETURNING id, incarnation, until_ms
)
SELECT 'replica', $1::bigint, $2::bigint, $3::text, $4::text, $5::text, $6::bigint, 0::bigint, $8::smallint
UNION ALL
SELECT 'replica', id, incarnation, name, client_urls, version, applied_seq, ms - seen_ms, starved FROM ${replica}, moment
WHERE NOT (id = $1::bigint AND incarnation = $2::bigint)
UNION ALL
SELECT 'claimed', id, incarnation, '', '', '', 0, until_ms - ms, 0::smallint FROM claimed, moment
UNION ALL
SELECT 'held', id, incarnation, '', '', '', 0, until_ms - ms, 0::smallint FROM ${sequencer}, moment`,
    // Primary keys.
    retire: `WITH gone AS (
  DELETE FROM ${replica} WHERE id = $1::bigint AND incarnation = $2::bigint
)
DELETE FROM ${sequencer} WHERE one = 1 AND id = $1::bigint AND incarnation = $2::bigint`,
    // The whole table, which is small. One row at a time belongs to one server: nobody waits for two of them.
    forget: `DELETE FROM ${replica} WHERE seen_ms < ${NOW_MS} - $1::bigint`,
  };
}
