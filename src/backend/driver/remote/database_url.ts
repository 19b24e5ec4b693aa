import {
  type DatastoreSettings,
  DEFAULT_DATASTORE_SETTINGS,
  isTablePrefix,
  TABLE_PREFIX_RULE,
} from "./datastore_settings.ts";
import type { HostPort, ServerAddress } from "./protocol.ts";

/** What a URL of a database and the settings beside it say together; files not yet read. */
export interface DatabaseUrl {
  readonly engine: ServerEngine;
  readonly address: ServerAddress;
  readonly password: PasswordSource;
  readonly sslMode: SslMode;
  /** Names of PEM files. */
  readonly sslRootCert: string | undefined;
  readonly sslCert: string | undefined;
  readonly sslKey: string | undefined;
}

export type ServerEngine = "postgres" | "yugabytedb" | "mysql";

/** Where a password comes from, for each connection afresh. */
export type PasswordSource =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "file"; readonly path: string }
  | {
    readonly kind: "command";
    readonly command: string;
    readonly environment: Readonly<Record<string, string>>;
  };

/** As libpq has them. */
export type SslMode = (typeof SSL_MODES)[number];

const SSL_MODES = ["disable", "require", "verify-ca", "verify-full"] as const;

const DEFAULT_PORT = { postgres: 5432, yugabytedb: 5433, mysql: 3306 };
const DEFAULT_USER = {
  postgres: "postgres",
  yugabytedb: "yugabyte",
  mysql: "root",
};
/** A list of hosts is tried in turn; more than this is a mistake. */
const MAX_HOSTS = 16;

/** The engine that a scheme names; undefined if it is none of ours. */
export function engineOf(scheme: string): ServerEngine | undefined {
  switch (scheme) {
    case "postgres":
    case "postgresql":
      return "postgres";
    case "yugabytedb":
      return "yugabytedb";
    case "mysql":
    case "mariadb":
      return "mysql";
    default:
      return undefined;
  }
}

/**
 * Reads `ENGINE://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…]/DATABASE[?OPTION=VALUE&…]`; throws `DatabaseUrlError`
 * for all else. Of several hosts, the one that takes writes is used.
 *
 *   table-prefix           what the tables' names begin with
 *   password-file          a file that holds the password, and perhaps a line feed
 *   password-command       a command that writes it
 *   sslmode                disable, require (encrypted, the server's certificate is not looked at), verify-ca,
 *                          verify-full (certificate and name). Default verify-full if there is an authority, else disable
 *   sslrootcert, sslcert, sslkey   PEM files
 *   prepare                false for a pooler that cannot keep prepared statements; default true
 *   target_session_attrs   read-write or primary, which is what is looked for anyway
 */
export function parseDatabaseUrl(
  text: string,
  settings: DatastoreSettings = DEFAULT_DATASTORE_SETTINGS,
): DatabaseUrl {
  const parts = URL_PARTS.exec(text)?.groups;
  const engine = engineOf(parts?.["scheme"] ?? "");
  if (parts === undefined || engine === undefined) {
    throw new DatabaseUrlError("it is not ENGINE://USER@HOST:PORT/DATABASE");
  }
  const database = decode(parts["database"] ?? "");
  if (database === "") {
    throw new DatabaseUrlError("it names no database behind the host");
  }
  if (database.includes("/") || database.includes("\0")) {
    throw new DatabaseUrlError("its database's name cannot be one");
  }
  const options = readOptions(new URLSearchParams(parts["options"] ?? ""));
  const sslRootCert = options.get("sslrootcert") ?? named(settings.caFile);
  const address: ServerAddress = {
    hosts: readHosts(parts["hosts"] ?? "", DEFAULT_PORT[engine]),
    user: decode(parts["user"] ?? "") || DEFAULT_USER[engine],
    database,
    tablePrefix: tablePrefix(
      options.get("table-prefix") ?? settings.tablePrefix,
    ),
    prepare: isTrue(options.get("prepare") ?? "true"),
    maxConnections: settings.maxConnections,
    connectTimeoutMs: settings.connectTimeoutMs,
    statementTimeoutMs: settings.statementTimeoutMs,
  };
  const sslCert = options.get("sslcert") ?? named(settings.certFile);
  const sslKey = options.get("sslkey") ?? named(settings.keyFile);
  if ((sslCert === undefined) !== (sslKey === undefined)) {
    throw new DatabaseUrlError("of sslcert and sslkey it has only one");
  }
  return {
    engine,
    address,
    password: passwordSource(decode(parts["password"] ?? ""), {
      options,
      settings,
    }),
    sslMode: sslMode(options.get("sslmode"), sslRootCert),
    sslRootCert,
    sslCert,
    sslKey,
  };
}

/** What is wrong with a URL, without the URL. */
export class DatabaseUrlError extends Error {
  override name = "DatabaseUrlError";
}

/** `URL` takes one host only. */
const URL_PARTS =
  /^(?<scheme>[a-z]+):\/\/(?:(?<user>[^:@/?#]*)(?::(?<password>[^@/?#]*))?@)?(?<hosts>[^@/?#]*)(?:\/(?<database>[^?#]*))?(?:\?(?<options>[^#]*))?$/;

const OPTIONS = [
  "table-prefix",
  "password-file",
  "password-command",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "prepare",
  "target_session_attrs",
];

function readHosts(text: string, defaultPort: number): HostPort[] {
  if (text === "") throw new DatabaseUrlError("it names no host");
  const hosts = text.split(",").map((host) => readHost(host, defaultPort));
  if (hosts.length > MAX_HOSTS) {
    throw new DatabaseUrlError(`it names more than ${MAX_HOSTS} hosts`);
  }
  return hosts;
}

function readHost(text: string, defaultPort: number): HostPort {
  // `tcp(HOST:PORT)` is how Go's MySQL driver, and so kine, has it.
  const plain = /^tcp\((.*)\)$/.exec(text)?.[1] ?? text;
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:\[\]()]+))(?::(\d+))?$/.exec(
    plain,
  );
  const host = decode(match?.[1] ?? match?.[2] ?? "");
  if (host === "" || /[\s/\0]/.test(host)) {
    throw new DatabaseUrlError(
      "one of its hosts is neither HOST, HOST:PORT nor [IPv6]:PORT",
    );
  }
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (port < 1 || port > 65535) {
    throw new DatabaseUrlError("one of its ports is not from 1 to 65535");
  }
  return { host, port };
}

function readOptions(params: URLSearchParams): Map<string, string> {
  const options = new Map<string, string>();
  for (const [name, value] of params) {
    if (!OPTIONS.includes(name)) {
      throw new DatabaseUrlError(
        `its option "${name}" is none of ${OPTIONS.join(", ")}`,
      );
    }
    if (value === "") {
      throw new DatabaseUrlError(`its option "${name}" has no value`);
    }
    options.set(name, value);
  }
  const session = options.get("target_session_attrs") ?? "read-write";
  if (session !== "read-write" && session !== "primary") {
    throw new DatabaseUrlError(
      "its target_session_attrs is neither read-write nor primary",
    );
  }
  return options;
}

/** What the URL says goes before what the settings say. */
function passwordSource(
  password: string,
  from: { options: Map<string, string>; settings: DatastoreSettings },
): PasswordSource {
  const { options, settings } = from;
  const environment = settings.commandEnvironment;
  const path = options.get("password-file");
  const command = options.get("password-command");
  const said = [password || undefined, path, command];
  if (said.filter((text) => text !== undefined).length > 1) {
    throw new DatabaseUrlError("it has more than one password");
  }
  if (password !== "") return { kind: "text", text: password };
  if (path !== undefined) return { kind: "file", path };
  if (command !== undefined) return { kind: "command", command, environment };
  if (settings.passwordFile !== "") {
    return { kind: "file", path: settings.passwordFile };
  }
  if (settings.passwordCommand !== "") {
    return { kind: "command", command: settings.passwordCommand, environment };
  }
  return { kind: "text", text: settings.password };
}

function tablePrefix(value: string): string {
  if (isTablePrefix(value)) return value;
  throw new DatabaseUrlError(
    `its table-prefix cannot be one: ${TABLE_PREFIX_RULE}`,
  );
}

function isTrue(value: string): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw new DatabaseUrlError("its option prepare is neither true nor false");
}

function sslMode(value: string | undefined, root: string | undefined): SslMode {
  if (value === undefined) {
    return root === undefined ? "disable" : "verify-full";
  }
  const mode = SSL_MODES.find((mode) => mode === value);
  if (mode !== undefined) return mode;
  throw new DatabaseUrlError(`its sslmode is none of ${SSL_MODES.join(", ")}`);
}

function named(file: string): string | undefined {
  return file === "" ? undefined : file;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new DatabaseUrlError(
      "it holds a % that is not followed by two digits",
    );
  }
}
