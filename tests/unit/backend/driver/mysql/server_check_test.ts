import assert from "node:assert/strict";
import { BackendError } from "../../../../../src/backend/backend.ts";
import {
  checkServer,
  checkTableEngines,
} from "../../../../../src/backend/driver/mysql/server_check.ts";

const MARIADB = {
  version: "10.11.19-MariaDB-0+deb12u1",
  tx_isolation: "READ-COMMITTED",
  max_allowed_packet: "16777216",
  innodb_flush_log_at_trx_commit: "1",
  innodb_doublewrite: "ON",
  log_bin: "OFF",
  sync_binlog: "0",
  binlog_format: "MIXED",
  wsrep_on: "OFF",
};
const MYSQL = {
  version: "8.0.36",
  transaction_isolation: "READ-COMMITTED",
  max_allowed_packet: "67108864",
  innodb_flush_log_at_trx_commit: "1",
  innodb_doublewrite: "ON",
  log_bin: "ON",
  sync_binlog: "1",
  binlog_format: "ROW",
};

const check = (variables: Record<string, string>) =>
  checkServer(new Map(Object.entries(variables)));

Deno.test("checkServer() takes MariaDB and MySQL as they are delivered", () => {
  assert.deepEqual(check(MARIADB), {
    engine: "mariadb",
    maxPacketBytes: 16_777_216,
    isGalera: false,
    warnings: [],
  });
  assert.deepEqual(check(MYSQL), {
    engine: "mysql",
    maxPacketBytes: 67_108_864,
    isGalera: false,
    warnings: [],
  });
});

Deno.test("checkServer() refuses what is too old", () => {
  const fine = ["8.0.0", "8.4.3-log", "9.1.0"];
  for (const version of fine) check({ ...MYSQL, version });
  const fineToo = ["10.11.2-MariaDB", "11.4.3-MariaDB", "5.5.5-12.0.1-MariaDB"];
  for (const version of fineToo) check({ ...MARIADB, version });
  for (const version of ["5.7.44", "", "10.10.9-MariaDB", "5.5.5-MariaDB"]) {
    assert.throws(() => check({ ...MYSQL, version }), BackendError, version);
  }
});

Deno.test("checkServer() refuses sessions that do not keep what is set", () => {
  assert.throws(
    () => check({ ...MYSQL, transaction_isolation: "REPEATABLE-READ" }),
    /isolation REPEATABLE-READ/,
  );
});

Deno.test("checkServer() refuses packets in which a request has no room", () => {
  const refused = { name: "BackendError", cure: /max_allowed_packet/ };
  check({ ...MYSQL, max_allowed_packet: "4194304" });
  assert.throws(
    () => check({ ...MYSQL, max_allowed_packet: "4194303" }),
    refused,
  );
  const { max_allowed_packet: _, ...without } = MYSQL;
  assert.throws(() => check(without), refused);
});

Deno.test("checkServer() refuses a binary log of statements", () => {
  const statements = { ...MYSQL, binlog_format: "STATEMENT" };
  assert.throws(() => check(statements), /STATEMENT/);
  assert.equal(check({ ...statements, log_bin: "OFF" }).warnings.length, 0);
});

Deno.test("checkServer() warns of each setting that can lose writes", () => {
  const fields = (variables: Record<string, string>) =>
    check(variables).warnings.map((warning) => warning.fields);
  assert.deepEqual(fields({ ...MYSQL, innodb_flush_log_at_trx_commit: "2" }), [
    { innodb_flush_log_at_trx_commit: "2" },
  ]);
  assert.deepEqual(fields({ ...MYSQL, innodb_doublewrite: "OFF" }), [
    { innodb_doublewrite: "OFF" },
  ]);
  assert.deepEqual(fields({ ...MYSQL, sync_binlog: "0" }), [
    { sync_binlog: "0" },
  ]);
});

Deno.test("checkServer() knows a Galera cluster", () => {
  assert.ok(check({ ...MARIADB, wsrep_on: "ON" }).isGalera);
});

Deno.test("checkServer() refuses a replication group of several primaries", () => {
  const group = {
    ...MYSQL,
    group_replication_group_name: "ce9be252-2b71-11e6-b8f4-00212844f856",
    group_replication_single_primary_mode: "OFF",
  };
  assert.throws(() => check(group), /several primaries/);
  check({ ...group, group_replication_single_primary_mode: "ON" });
  check({ ...group, group_replication_group_name: "" });
});

Deno.test("checkTableEngines() takes InnoDB only", () => {
  checkTableEngines(new Map([["stele_kv", "InnoDB"], ["stele_x", "INNODB"]]));
  assert.throws(
    () => checkTableEngines(new Map([["stele_kv", "MyISAM"]])),
    { name: "BackendError", cure: "ALTER TABLE stele_kv ENGINE = InnoDB." },
  );
});
