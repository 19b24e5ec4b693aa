-- selectServer
SELECT version(), pg_is_in_recovery(), current_setting('transaction_read_only'),
  current_setting('default_transaction_isolation'), current_setting('synchronous_commit'), current_setting('fsync');

-- beginConsistentRead
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- createDatabase
CREATE DATABASE "a ""b""" WITH COLOCATION = true;

-- schema[0]
CREATE TABLE IF NOT EXISTS stele_batch (
  seq         bigint NOT NULL,
  id          bytea NOT NULL,
  first_rev   bigint NOT NULL,
  last_rev    bigint NOT NULL,
  time_ms     bigint NOT NULL,
  ops         bytea NOT NULL,
  total_bytes bigint NOT NULL,
  PRIMARY KEY (seq ASC)
);

-- schema[1]
CREATE TABLE IF NOT EXISTS stele_kv (
  rev        bigint NOT NULL,
  sub        integer NOT NULL,
  key        bytea NOT NULL,
  value      bytea NOT NULL,
  create_rev bigint NOT NULL,
  version    bigint NOT NULL,
  lease      bigint NOT NULL,
  deleted    boolean NOT NULL,
  PRIMARY KEY (rev ASC, sub ASC)
);

-- schema[2]
CREATE TABLE IF NOT EXISTS stele_state (
  kind  smallint NOT NULL,
  id    bytea NOT NULL,
  key   bytea NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (kind ASC, id ASC)
);

-- schema[3]
CREATE TABLE IF NOT EXISTS stele_removed (
  id    smallint NOT NULL,
  bytes bigint NOT NULL,
  PRIMARY KEY (id ASC)
);

-- schema[4]
INSERT INTO stele_removed (id, bytes) VALUES (1, 0) ON CONFLICT (id) DO NOTHING;

-- schema[5]
INSERT INTO stele_batch (seq, id, first_rev, last_rev, time_ms, ops, total_bytes)
VALUES (0, '', 2, 1, 0, '', 0) ON CONFLICT (seq) DO NOTHING;

-- schema[6]
CREATE TABLE IF NOT EXISTS stele_replica (
  id          bigint NOT NULL,
  incarnation bigint NOT NULL,
  name        text NOT NULL,
  client_urls text NOT NULL,
  version     text NOT NULL,
  applied_seq bigint NOT NULL,
  starved     smallint NOT NULL,
  seen_ms     bigint NOT NULL,
  PRIMARY KEY (id ASC, incarnation ASC)
);

-- schema[7]
CREATE TABLE IF NOT EXISTS stele_sequencer (
  one         smallint NOT NULL,
  id          bigint NOT NULL,
  incarnation bigint NOT NULL,
  until_ms    bigint NOT NULL,
  PRIMARY KEY (one ASC)
);

-- schema[8]
INSERT INTO stele_state (kind, id, key, value)
VALUES (0, 'schema_version', 'schema_version', '1') ON CONFLICT (kind, id) DO NOTHING;

-- selectVersion
SELECT value FROM stele_state WHERE kind = 0 AND id = 'schema_version';

-- insertBatch
WITH before AS (
  SELECT total_bytes FROM stele_batch WHERE seq = $1::bigint - 1
    AND (length($16::bytea) = 0 OR id = $16::bytea) FOR KEY SHARE
), added AS (
  INSERT INTO stele_batch (seq, id, first_rev, last_rev, time_ms, ops, total_bytes)
  SELECT $1::bigint, $2::bytea, $3::bigint, $4::bigint, $5::bigint, $6::bytea, total_bytes + $7::bigint FROM before
  RETURNING seq
), row_added AS (
  INSERT INTO stele_kv (rev, sub, key, value, create_rev, version, lease, deleted)
  SELECT r.rev, r.sub, r.key, r.value, r.create_rev, r.version, r.lease, r.deleted
  FROM added, unnest($8::bigint[], $9::integer[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[],
    $14::bigint[], $15::boolean[])
    AS r (rev, sub, key, value, create_rev, version, lease, deleted)
)
SELECT seq FROM added;

-- insertBatchWithState
WITH before AS (
  SELECT total_bytes FROM stele_batch WHERE seq = $1::bigint - 1
    AND (length($16::bytea) = 0 OR id = $16::bytea) FOR KEY SHARE
), added AS (
  INSERT INTO stele_batch (seq, id, first_rev, last_rev, time_ms, ops, total_bytes)
  SELECT $1::bigint, $2::bytea, $3::bigint, $4::bigint, $5::bigint, $6::bytea, total_bytes + $7::bigint FROM before
  RETURNING seq
), row_added AS (
  INSERT INTO stele_kv (rev, sub, key, value, create_rev, version, lease, deleted)
  SELECT r.rev, r.sub, r.key, r.value, r.create_rev, r.version, r.lease, r.deleted
  FROM added, unnest($8::bigint[], $9::integer[], $10::bytea[], $11::bytea[], $12::bigint[], $13::bigint[],
    $14::bigint[], $15::boolean[])
    AS r (rev, sub, key, value, create_rev, version, lease, deleted)
), state_set AS (
  INSERT INTO stele_state (kind, id, key, value)
  SELECT s.kind, s.id, s.key, s.value FROM added, unnest($17::smallint[], $18::bytea[], $19::bytea[], $20::bytea[])
    AS s (kind, id, key, value)
  ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value
), state_removed AS (
  DELETE FROM stele_state AS old USING added, unnest($21::smallint[], $22::bytea[]) AS s (kind, id)
  WHERE old.kind = s.kind AND old.id = s.id
)
SELECT seq FROM added;

-- selectHead
SELECT seq, last_rev, id FROM stele_batch ORDER BY seq DESC LIMIT 1;

-- selectBatchId
SELECT id FROM stele_batch WHERE seq = $1::bigint AND seq > 0;

-- selectBatchesAfter
SELECT seq, id, first_rev, last_rev, time_ms, ops FROM stele_batch
WHERE seq > $1::bigint ORDER BY seq LIMIT $2::integer;

-- selectRows
SELECT rev, sub, length(key), key || value, create_rev, version, lease, deleted
FROM (
  SELECT *, sum(length(key) + length(value)) OVER (ORDER BY rev, sub ROWS UNBOUNDED PRECEDING)
    - length(key) - length(value) AS bytes_before
  FROM (
    SELECT rev, sub, key, value, create_rev, version, lease, deleted FROM stele_kv
    WHERE (rev, sub) > ($1::bigint, $2::integer) AND rev <= $3::bigint
    ORDER BY rev, sub LIMIT $4::integer
  ) AS candidate
) AS page WHERE bytes_before < $5::bigint ORDER BY rev, sub;

-- selectRowsById
SELECT kv.rev, kv.sub, length(kv.key), kv.key || kv.value, kv.create_rev, kv.version, kv.lease, kv.deleted
FROM unnest($1::bigint[], $2::integer[]) AS asked (rev, sub) JOIN stele_kv AS kv USING (rev, sub);

-- selectState
SELECT id, key, value FROM stele_state
WHERE kind = $1::smallint AND (id > $2::bytea OR ($3::integer = 1 AND id = $2::bytea)) ORDER BY id LIMIT $4::integer;

-- deleteRows
WITH gone AS (
  DELETE FROM stele_kv AS kv USING unnest($1::bigint[], $2::integer[]) AS asked (rev, sub)
  WHERE kv.rev = asked.rev AND kv.sub = asked.sub
  RETURNING length(kv.key) + length(kv.value) + 40 AS bytes
)
UPDATE stele_removed SET bytes = bytes + (SELECT coalesce(sum(gone.bytes), 0) FROM gone) WHERE id = 1;

-- selectFirstSeq
SELECT seq FROM stele_batch ORDER BY seq LIMIT 1;

-- deleteBatchesBelow
DELETE FROM stele_batch
WHERE seq < $1::bigint AND seq < (SELECT last.seq FROM stele_batch AS last ORDER BY last.seq DESC LIMIT 1);

-- selectSize
SELECT (
  SELECT sum(pg_table_size(name::regclass))::bigint
  FROM unnest(ARRAY['stele_batch', 'stele_kv', 'stele_state', 'stele_removed']) AS name
), (SELECT total_bytes FROM stele_batch ORDER BY seq DESC LIMIT 1) - (SELECT bytes FROM stele_removed WHERE id = 1);

-- replicas.schema[0]
CREATE TABLE IF NOT EXISTS stele_replica (
  id          bigint NOT NULL,
  incarnation bigint NOT NULL,
  name        text NOT NULL,
  client_urls text NOT NULL,
  version     text NOT NULL,
  applied_seq bigint NOT NULL,
  starved     smallint NOT NULL,
  seen_ms     bigint NOT NULL,
  PRIMARY KEY (id ASC, incarnation ASC)
);

-- replicas.schema[1]
CREATE TABLE IF NOT EXISTS stele_sequencer (
  one         smallint NOT NULL,
  id          bigint NOT NULL,
  incarnation bigint NOT NULL,
  until_ms    bigint NOT NULL,
  PRIMARY KEY (one ASC)
);

-- replicas.announce
WITH moment AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms), announced AS (
  INSERT INTO stele_replica (id, incarnation, name, client_urls, version, applied_seq, starved, seen_ms)
  SELECT $1::bigint, $2::bigint, $3::text, $4::text, $5::text, $6::bigint, $8::smallint, ms FROM moment
  ON CONFLICT (id, incarnation) DO UPDATE SET name = excluded.name, client_urls = excluded.client_urls,
    version = excluded.version, applied_seq = excluded.applied_seq, starved = excluded.starved, seen_ms = excluded.seen_ms
), claimed AS (
  INSERT INTO stele_sequencer AS held (one, id, incarnation, until_ms)
  SELECT 1, $1::bigint, $2::bigint, ms + $7::bigint FROM moment WHERE $7::bigint > 0
  ON CONFLICT (one) DO UPDATE SET id = excluded.id, incarnation = excluded.incarnation, until_ms = excluded.until_ms
  WHERE (held.id = excluded.id AND held.incarnation = excluded.incarnation)
    OR held.until_ms <= excluded.until_ms - $7::bigint OR held.until_ms > excluded.until_ms + 60000
  RETURNING id, incarnation, until_ms
)
SELECT 'replica', $1::bigint, $2::bigint, $3::text, $4::text, $5::text, $6::bigint, 0::bigint, $8::smallint
UNION ALL
SELECT 'replica', id, incarnation, name, client_urls, version, applied_seq, ms - seen_ms, starved FROM stele_replica, moment
WHERE NOT (id = $1::bigint AND incarnation = $2::bigint)
UNION ALL
SELECT 'claimed', id, incarnation, '', '', '', 0, until_ms - ms, 0::smallint FROM claimed, moment
UNION ALL
SELECT 'held', id, incarnation, '', '', '', 0, until_ms - ms, 0::smallint FROM stele_sequencer, moment;

-- replicas.retire
WITH gone AS (
  DELETE FROM stele_replica WHERE id = $1::bigint AND incarnation = $2::bigint
)
DELETE FROM stele_sequencer WHERE one = 1 AND id = $1::bigint AND incarnation = $2::bigint;

-- replicas.forget
DELETE FROM stele_replica WHERE seen_ms < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1::bigint;

-- sessionSetUp[0]
SET yb_bnl_batch_size = 1024;
