import { BackendError } from "../../backend.ts";
import type { Warning } from "../remote/dialect.ts";

/** A server's settings by name, as it writes them. */
export type ServerVariables = ReadonlyMap<string, string>;

/** What is known of a server once it has been looked at. */
export interface ServerFacts {
  readonly engine: "mysql" | "mariadb";
  /** The longest query that it takes. */
  readonly maxPacketBytes: number;
  /** Several servers, each of which takes writes. */
  readonly isGalera: boolean;
  readonly warnings: readonly Warning[];
}

/** The variables that are looked at, in the session; each engine has most of them. */
export const SELECT_VARIABLES = `SHOW VARIABLES WHERE variable_name IN (
  'version', 'transaction_isolation', 'tx_isolation', 'max_allowed_packet', 'innodb_flush_log_at_trx_commit',
  'innodb_doublewrite', 'log_bin', 'sync_binlog', 'binlog_format', 'wsrep_on',
  'group_replication_group_name', 'group_replication_single_primary_mode'
)`;

/** Refuses a server with which the log would not be safe, and warns of what can lose writes. */
export function checkServer(variables: ServerVariables): ServerFacts {
  const version = variables.get("version") ?? "";
  const engine = version.includes("MariaDB") ? "mariadb" : "mysql";
  checkVersion(version, engine);
  checkIsolation(variables);
  checkGroup(variables);
  return {
    engine,
    maxPacketBytes: checkPacketSize(variables),
    isGalera: isOn(variables.get("wsrep_on")),
    warnings: durabilityWarnings(variables),
  };
}

/** Refuses tables that cannot do transactions; `engines` are of all our tables, by name. */
export function checkTableEngines(engines: ReadonlyMap<string, string>): void {
  for (const [table, engine] of engines) {
    if (engine.toLowerCase() === "innodb") continue;
    throw new BackendError(
      `Cannot open the database: table ${table} has the engine ${engine}, which cannot do transactions`,
      { cure: `ALTER TABLE ${table} ENGINE = InnoDB.` },
    );
  }
}

/** The oldest with window functions, and the oldest that is looked after. */
const OLDEST = { mysql: [8, 0], mariadb: [10, 11] } as const;

function checkVersion(version: string, engine: keyof typeof OLDEST): void {
  // MariaDB may put 5.5.5- in front, for the sake of old replicas.
  const match = /^(?:5\.5\.5-)?(\d+)\.(\d+)/.exec(version);
  const [major, minor] = OLDEST[engine];
  const found = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)] as const;
  if (found[0] > major || found[0] === major && found[1] >= minor) return;
  throw new BackendError(
    `Cannot open the database: its version is ${version}`,
    { cure: "MySQL 8.0 and MariaDB 10.11 are the oldest that will do." },
  );
}

/** We set it on each connection: what comes between us and the server may have lost that. */
function checkIsolation(variables: ServerVariables): void {
  const isolation = variables.get("transaction_isolation") ??
    variables.get("tx_isolation");
  if (isolation === "READ-COMMITTED") return;
  throw new BackendError(
    `Cannot open the database: its sessions have the isolation ${isolation} although READ COMMITTED was set`,
    {
      cure: "Connect to the server itself, or by a proxy that keeps sessions.",
    },
  );
}

/** Where every member takes writes, a member's reads lag behind the others' commits. */
function checkGroup(variables: ServerVariables): void {
  if ((variables.get("group_replication_group_name") ?? "") === "") return;
  const mode = variables.get("group_replication_single_primary_mode");
  if (isOn(mode)) return;
  throw new BackendError(
    "Cannot open the database: its replication group has several primaries",
    { cure: "SELECT group_replication_switch_to_single_primary_mode()." },
  );
}

/** A request of 1.5 MiB, which is the default of --max-request-bytes, takes twice as much as SQL. */
const MIN_PACKET_BYTES = 4 * 2 ** 20;

function checkPacketSize(variables: ServerVariables): number {
  const bytes = Number(variables.get("max_allowed_packet"));
  if (bytes >= MIN_PACKET_BYTES) return bytes;
  throw new BackendError(
    `Cannot open the database: its max_allowed_packet is ${bytes} bytes, and ${MIN_PACKET_BYTES} are needed`,
    { cure: "SET GLOBAL max_allowed_packet = 67108864, and in my.cnf." },
  );
}

function durabilityWarnings(variables: ServerVariables): Warning[] {
  const warnings: Warning[] = [];
  const flush = variables.get("innodb_flush_log_at_trx_commit");
  const doublewrite = variables.get("innodb_doublewrite");
  const syncBinlog = variables.get("sync_binlog");
  const binlogFormat = variables.get("binlog_format");
  if (flush !== undefined && flush !== "1") {
    warnings.push({
      message:
        "database answers before a commit is on its disk: writes can be lost when it crashes",
      fields: { innodb_flush_log_at_trx_commit: flush },
    });
  }
  if (/^(OFF|0)$/i.test(doublewrite ?? "")) {
    warnings.push({
      message:
        "database does not guard against torn pages: it can be damaged when the machine crashes",
      fields: { innodb_doublewrite: doublewrite },
    });
  }
  if (!isOn(variables.get("log_bin"))) return warnings;
  if (syncBinlog !== undefined && syncBinlog !== "1") {
    warnings.push({
      message:
        "database answers before a commit is in its binary log on disk: replicas can miss writes when it crashes",
      fields: { sync_binlog: syncBinlog },
    });
  }
  if (binlogFormat === "STATEMENT") {
    throw new BackendError(
      "Cannot open the database: its binlog_format is STATEMENT, which does not go with READ COMMITTED",
      { cure: "SET GLOBAL binlog_format = 'ROW', and in my.cnf." },
    );
  }
  return warnings;
}

function isOn(value: string | undefined): boolean {
  return value === "ON" || value === "1";
}
