import { checkConfig } from "./check_config.ts";
import type { Config } from "./config.ts";
import { ConfigError } from "./config_error.ts";
import { readConfigFile } from "./config_file.ts";
import { scanFlags } from "./flag_scanner.ts";
import { envName, FLAGS } from "./flags.ts";
import { fromFlags } from "./from_flags.ts";
import { nearest } from "./nearest.ts";
import { parseBool } from "./numbers.ts";

/** Something odd about a configuration that is good all the same; to be logged once there is a logger. */
export interface ConfigWarning {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What a command line asks for. */
export type ParsedConfig =
  | {
    readonly kind: "config";
    readonly config: Config;
    readonly warnings: readonly ConfigWarning[];
  }
  | { readonly kind: "help" }
  | { readonly kind: "version" };

/** Variables that begin like a flag's but never were one: images of etcd carry them. */
const NOT_FLAGS: ReadonlySet<string> = new Set(["ETCD_VERSION"]);

/**
 * The configuration that flags, environment and file make together; throws `ConfigError` if they make none.
 *
 * As in etcd: a flag comes from the command line or from its variable, and naming it in both is an error; an
 * empty variable counts as absent; a configuration file takes the place of all flags and variables.
 */
export async function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  readFile: (path: string) => Promise<string>,
): Promise<ParsedConfig> {
  const fromArgs = scanFlags(argv);
  if (isSet(fromArgs, "help")) return { kind: "help" };
  if (isSet(fromArgs, "version")) return { kind: "version" };
  const warnings: ConfigWarning[] = [];
  const fromEnv = scanEnvironment(env, warnings);
  const path = fromArgs.get("config-file") || fromEnv.get("config-file");
  const texts = path === undefined
    ? merge(fromArgs, fromEnv)
    : await readFileInstead(path, { fromArgs, fromEnv, readFile, warnings });
  if (path === undefined) requireAdvertisedUrls(texts);
  requireOneBootstrap(texts);
  const config = withCommandEnvironment(fromFlags(texts), env);
  checkConfig(config);
  warnAboutIgnored(texts, warnings);
  if (config.unsafeNoFsync) {
    warnings.push({
      message: "unsafe-no-fsync is set: a crash of the machine loses data",
      fields: {},
    });
  }
  return { kind: "config", config, warnings };
}

/** A command that writes a password has the environment that the server was started with, and nobody else has. */
function withCommandEnvironment(
  config: Config,
  env: Readonly<Record<string, string>>,
): Config {
  const isNamed = config.datastore.passwordCommand !== "" ||
    config.endpoint.includes("password-command=");
  if (!isNamed) return config;
  const datastore = { ...config.datastore, commandEnvironment: env };
  return { ...config, datastore };
}

function isSet(texts: ReadonlyMap<string, string>, name: string): boolean {
  const text = texts.get(name);
  if (text === undefined) return false;
  const value = parseBool(text);
  if (value === undefined) {
    throw new ConfigError(`Cannot use --${name}: true or false is needed`);
  }
  return value;
}

function scanEnvironment(
  env: Readonly<Record<string, string>>,
  warnings: ConfigWarning[],
): Map<string, string> {
  const byVariable = new Map<string, string>();
  for (const flag of FLAGS.values()) byVariable.set(envName(flag), flag.name);
  const texts = new Map<string, string>();
  for (const [variable, text] of Object.entries(env)) {
    if (!/^(ETCD|STELE)_/.test(variable) || NOT_FLAGS.has(variable)) continue;
    const name = byVariable.get(variable);
    if (name === undefined) {
      // Its value may be a secret.
      const meant = nearest(variable, byVariable.keys());
      warnings.push({
        message: "environment variable is not known",
        fields: { variable, meant },
      });
    } else if (text !== "" && name !== "help" && name !== "version") {
      texts.set(name, text);
    }
  }
  return texts;
}

function merge(
  fromArgs: ReadonlyMap<string, string>,
  fromEnv: ReadonlyMap<string, string>,
): Map<string, string> {
  for (const name of fromEnv.keys()) {
    if (!fromArgs.has(name)) continue;
    const variable = envName(FLAGS.get(name)!);
    throw new ConfigError(
      `Cannot use both --${name} and ${variable}: remove one of them`,
    );
  }
  return new Map([...fromEnv, ...fromArgs]);
}

interface FileContext {
  readonly fromArgs: ReadonlyMap<string, string>;
  readonly fromEnv: ReadonlyMap<string, string>;
  readonly readFile: (path: string) => Promise<string>;
  readonly warnings: ConfigWarning[];
}

async function readFileInstead(
  path: string,
  { fromArgs, fromEnv, readFile, warnings }: FileContext,
): Promise<Map<string, string>> {
  let content: string;
  try {
    content = await readFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`Cannot read "${path}": ${why}`, { cause: error });
  }
  const { texts, unknownKeys } = await readConfigFile(path, content);
  const others = [...fromArgs.keys(), ...fromEnv.keys()]
    .filter((name) => name !== "config-file");
  if (others.length > 0) {
    warnings.push({
      message: "flags and variables are ignored, as there is a config-file",
      fields: { path, flags: others },
    });
  }
  if (unknownKeys.length > 0) {
    warnings.push({
      message: "config-file has keys that are not known",
      fields: { path, keys: unknownKeys },
    });
  }
  return texts;
}

/** Clients would be sent to localhost otherwise; etcd asks for it on the command line only. */
function requireAdvertisedUrls(texts: ReadonlyMap<string, string>): void {
  if (texts.has("listen-client-urls") && !texts.has("advertise-client-urls")) {
    throw new ConfigError(
      "Cannot use --listen-client-urls alone: --advertise-client-urls is required with it",
    );
  }
}

/** etcd refuses two ways to find its peers, or half of one; so a configuration it refuses is refused here. */
function requireOneBootstrap(texts: ReadonlyMap<string, string>): void {
  const ways = ["initial-cluster", "discovery-endpoints", "discovery-srv"]
    .filter((name) => (texts.get(name) ?? "") !== "");
  if (ways.length > 1) {
    throw new ConfigError(`Cannot use ${ways.join(" and ")} together`);
  }
  const hasToken = (texts.get("discovery-token") ?? "") !== "";
  if (hasToken !== ways.includes("discovery-endpoints")) {
    throw new ConfigError(
      "Cannot use one of discovery-token and discovery-endpoints without the other",
    );
  }
}

function warnAboutIgnored(
  texts: ReadonlyMap<string, string>,
  warnings: ConfigWarning[],
): void {
  const flags: string[] = [];
  for (const [name, text] of texts) {
    const { effect, fallback } = FLAGS.get(name)!;
    if (effect === "ignored" && text !== fallback) flags.push(name);
  }
  if (flags.length === 0) return;
  warnings.push({
    message: "some flags have no effect, as there is no Raft and no bbolt here",
    fields: { flags },
  });
}
