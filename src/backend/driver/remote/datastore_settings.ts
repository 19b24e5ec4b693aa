/** What is said of a database server beside its URL; where the URL says it too, the URL is right. */
export interface DatastoreSettings {
  /** What the tables' names begin with. Default `stele_`. Several stores can share a database. */
  readonly tablePrefix: string;
  /** Connections of one server at most, without the one that listens for notifications. Default 4. */
  readonly maxConnections: number;
  /** Default 5 seconds, for each host. */
  readonly connectTimeoutMs: number;
  /** A statement that takes longer counts as failed, and its connection as lost. Default 10 seconds. */
  readonly statementTimeoutMs: number;
  /** PEM files; empty: none. They are read again for each connection. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** At most one of these three is not empty. */
  readonly password: string;
  /** Its content is the password, without the line feed at its end; read again for each connection. */
  readonly passwordFile: string;
  /** What it writes is the password; run by the shell, again for each connection. */
  readonly passwordCommand: string;
  /** The environment of that command. */
  readonly commandEnvironment: Readonly<Record<string, string>>;
}

export const DEFAULT_DATASTORE_SETTINGS: DatastoreSettings = {
  tablePrefix: "stele_",
  maxConnections: 4,
  connectTimeoutMs: 5000,
  statementTimeoutMs: 10_000,
  caFile: "",
  certFile: "",
  keyFile: "",
  password: "",
  passwordFile: "",
  passwordCommand: "",
  commandEnvironment: {},
};

/** A snapshot has one for itself. */
const MIN_CONNECTIONS = 2;
/** More would be a mistake: one append is under way at a time, and the rest are reads. */
const MAX_CONNECTIONS = 1000;
/** Beyond a day nobody waits, and timers overflow at 24. */
const MAX_TIMEOUT_MS = 24 * 3600 * 1000;

/** What is wrong with settings, as `FLAG VALUE: why`; undefined if nothing is. */
export function faultOfSettings(
  settings: DatastoreSettings,
): string | undefined {
  const { maxConnections, certFile, keyFile } = settings;
  if (!isTablePrefix(settings.tablePrefix)) {
    return `table-prefix "${settings.tablePrefix}": ${TABLE_PREFIX_RULE}`;
  }
  if (maxConnections < MIN_CONNECTIONS || maxConnections > MAX_CONNECTIONS) {
    return `datastore-max-connections ${maxConnections}: it must be from ${MIN_CONNECTIONS} to ${MAX_CONNECTIONS}`;
  }
  const timeouts = {
    "datastore-connect-timeout": settings.connectTimeoutMs,
    "datastore-statement-timeout": settings.statementTimeoutMs,
  };
  for (const [name, ms] of Object.entries(timeouts)) {
    if (ms >= 1 && ms <= MAX_TIMEOUT_MS) continue;
    return `${name} ${ms}ms: it must be from 1ms to 24h`;
  }
  if ((certFile === "") !== (keyFile === "")) {
    return "datastore-certfile: it needs datastore-keyfile, and the other way round";
  }
  const { password, passwordFile, passwordCommand } = settings;
  const said = [password, passwordFile, passwordCommand];
  if (said.filter((text) => text !== "").length > 1) {
    return "datastore-password, datastore-password-file, datastore-password-command: only one of them can be right";
  }
  return undefined;
}

/** A prefix becomes a part of identifiers, which no driver can bind as parameters. */
export function isTablePrefix(value: string): boolean {
  return /^[a-z][a-z0-9_]{0,39}$/.test(value);
}

export const TABLE_PREFIX_RULE =
  "it must be up to 40 of a-z, 0-9 and _, beginning with a letter";
