import { ConfigError } from "./config_error.ts";
import { FLAGS } from "./flags.ts";

/** What a configuration file says: texts as flags would have them, and keys that are not known. */
export interface FileTexts {
  readonly texts: Map<string, string>;
  readonly unknownKeys: readonly string[];
}

/** etcd's names for settings that it keeps in nested objects, by object. */
const NESTED: Readonly<Record<string, (key: string) => string>> = {
  "client-transport-security": (key) => CLIENT_SECURITY[key] ?? key,
  "peer-transport-security": (key) => PEER_SECURITY[key] ?? `peer-${key}`,
  "socket-options": (key) => `socket-${key}`,
};

const CLIENT_SECURITY: Readonly<Record<string, string>> = {
  "allowed-hostname": "client-cert-allowed-hostname",
};

const PEER_SECURITY: Readonly<Record<string, string>> = {
  "allowed-cn": "peer-cert-allowed-cn",
  "allowed-hostname": "peer-cert-allowed-hostname",
  "client-cert-file": "peer-client-cert-file",
  "skip-client-san-verification": "peer-skip-client-san-verification",
};

/**
 * Reads a file's text, JSON if it is an object in JSON and YAML otherwise. Keys are names of flags; as in
 * etcd, a number for a duration counts nanoseconds, an empty value is none, and unknown keys are no error.
 */
export async function readConfigFile(
  path: string,
  content: string,
): Promise<FileTexts> {
  const document = await parseDocument(path, content);
  const texts = new Map<string, string>();
  const unknownKeys: string[] = [];
  for (const [key, value] of Object.entries(document)) {
    const nested = NESTED[key];
    if (nested === undefined) {
      take(key, value, key);
      continue;
    }
    if (value === null) continue;
    if (!isObject(value)) {
      throw new ConfigError(`Cannot use "${path}": ${key} is not an object`);
    }
    for (const [inner, innerValue] of Object.entries(value)) {
      take(nested(inner), innerValue, `${key}.${inner}`);
    }
  }
  return { texts, unknownKeys };

  function take(name: string, value: unknown, key: string): void {
    if (value === null) return;
    const flag = FLAGS.get(name);
    if (flag === undefined || name === "config-file") {
      unknownKeys.push(key);
      return;
    }
    const text = flagText(value, flag.type === "duration");
    if (text === undefined) {
      throw new ConfigError(
        `Cannot use "${path}": the value of ${key} is neither a text nor a number`,
      );
    }
    texts.set(name, text);
  }
}

async function parseDocument(
  path: string,
  content: string,
): Promise<Record<string, unknown>> {
  let document: unknown;
  try {
    if (content.trimStart().startsWith("{")) {
      document = JSON.parse(content);
    } else {
      // Only those who have a YAML file wait for the parser.
      const { parseYaml } = await import("./yaml_document.ts");
      document = parseYaml(content) ?? {};
    }
  } catch (error) {
    throw new ConfigError(`Cannot read "${path}": ${syntaxComplaint(error)}`);
  }
  if (!isObject(document)) {
    throw new ConfigError(`Cannot read "${path}": it is not a list of keys`);
  }
  return document;
}

/** Where and what the parser stumbled over. Its own text is not used: it quotes the file, secrets and all. */
function syntaxComplaint(error: unknown): string {
  if (!isObject(error)) return "it is not valid";
  const { code, linePos, message } = error;
  const at = Array.isArray(linePos) ? linePos[0] : undefined;
  if (isObject(at)) {
    return `${code} at line ${at.line}, column ${at.col}`;
  }
  const where = /\(line \d+ column \d+\)/.exec(String(message))?.[0];
  return `it is not valid${where === undefined ? "" : ` ${where}`}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function flagText(value: unknown, isDuration: boolean): string | undefined {
  switch (typeof value) {
    case "string":
      return value;
    case "boolean":
      return String(value);
    case "number":
    case "bigint":
      return isDuration ? `${value}ns` : String(value);
  }
  if (!Array.isArray(value)) return undefined;
  const items = value.map((item) => flagText(item, isDuration));
  return items.includes(undefined) ? undefined : items.join(",");
}
