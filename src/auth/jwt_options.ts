import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { parseDurationMs } from "../base/duration.ts";
import { errorText } from "../base/log.ts";

/** What each method asks of its key; undefined: a secret, any bytes. */
const KEY_OF: Readonly<Record<string, KeyKind | undefined>> = {
  RS256: { type: "rsa" },
  RS384: { type: "rsa" },
  RS512: { type: "rsa" },
  PS256: { type: "rsa" },
  PS384: { type: "rsa" },
  PS512: { type: "rsa" },
  ES256: { type: "ec", curve: "prime256v1" },
  ES384: { type: "ec", curve: "secp384r1" },
  ES512: { type: "ec", curve: "secp521r1" },
  EdDSA: { type: "ed25519" },
  HS256: undefined,
  HS384: undefined,
  HS512: undefined,
};

interface KeyKind {
  readonly type: "rsa" | "ec" | "ed25519";
  readonly curve?: string;
}

/** RFC 7518, 3.3 and 3.5: shorter keys must not be used. */
const MIN_RSA_BITS = 2048;

/** etcd's default (server/auth/options.go). */
const DEFAULT_TTL_MS = 5 * 60_000;

const NAMES: ReadonlySet<string> = new Set([
  "pub-key",
  "priv-key",
  "sign-method",
  "ttl",
]);

/** A key pair's half, or a secret. */
export type JwtKey = KeyObject | Uint8Array;

/** How JWTs are made and verified. */
export interface JwtOptions {
  /** The one `alg` that is made and accepted. */
  readonly signMethod: string;
  /** How long a token holds from when it is made. */
  readonly ttlMs: number;
  readonly verifyKey: JwtKey;
  /** Undefined: tokens are made elsewhere and only verified here. */
  readonly signKey: JwtKey | undefined;
}

/**
 * Reads what stands behind `jwt,` in `--auth-token`, and the key files it names (PEM: PKCS#1, PKCS#8, SEC1, PKIX
 * and certificates; for HS methods the secret as it is). Names and defaults are those of etcd's
 * server/auth/options.go. Throws an Error for whoever wrote the option.
 */
export async function readJwtOptions(
  given: ReadonlyMap<string, string>,
): Promise<JwtOptions> {
  for (const name of given.keys()) {
    if (!NAMES.has(name)) throw refusal(`there is no option "${name}"`);
  }
  const signMethod = given.get("sign-method") ?? "";
  if (!Object.hasOwn(KEY_OF, signMethod)) {
    throw refusal(
      `sign-method must be one of ${Object.keys(KEY_OF).join(", ")}`,
    );
  }
  const ttlMs = parseTtlMs(given.get("ttl") ?? "");
  const privateFile = given.get("priv-key") ?? "";
  const publicFile = given.get("pub-key") ?? "";
  const kind = KEY_OF[signMethod];
  if (kind === undefined) {
    const secret = await readSecret(privateFile, signMethod);
    return { signMethod, ttlMs, verifyKey: secret, signKey: secret };
  }
  if (privateFile === "" && publicFile === "") {
    throw refusal(`${signMethod} needs priv-key, pub-key or both`);
  }
  const signKey = privateFile === ""
    ? undefined
    : await readKey("priv-key", privateFile, createPrivateKey);
  const publicKey = publicFile === ""
    ? undefined
    : await readKey("pub-key", publicFile, createPublicKey);
  for (const key of [signKey, publicKey]) {
    if (key !== undefined) needKind(key, kind, signMethod);
  }
  if (
    signKey !== undefined && publicKey !== undefined &&
    !arePair(signKey, publicKey)
  ) {
    throw refusal("priv-key and pub-key are not a pair");
  }
  const verifyKey = publicKey ?? createPublicKey(signKey!);
  return { signMethod, ttlMs, verifyKey, signKey };
}

/** The error for what is wrong with `--auth-token`. */
export function refusal(problem: string, cause?: unknown): Error {
  return new Error(`Cannot use auth-token: ${problem}`, { cause });
}

function parseTtlMs(text: string): number {
  if (text === "") return DEFAULT_TTL_MS;
  const ttlMs = parseDurationMs(text);
  if (ttlMs === undefined || ttlMs <= 0) {
    throw refusal("ttl must be a duration above 0, such as 5m");
  }
  return ttlMs;
}

async function readSecret(
  file: string,
  signMethod: string,
): Promise<Uint8Array> {
  const secret = file === "" ? undefined : await readFile("priv-key", file);
  if (secret === undefined || secret.length === 0) {
    throw refusal(`${signMethod} needs a secret in the file of priv-key`);
  }
  return secret;
}

async function readKey(
  option: string,
  file: string,
  parse: (pem: string) => KeyObject,
): Promise<KeyObject> {
  const pem = new TextDecoder().decode(await readFile(option, file));
  try {
    return parse(pem);
  } catch {
    // What the parser says may quote the file.
    throw refusal(`${option} "${file}" is no such key in PEM`);
  }
}

async function readFile(option: string, file: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(file);
  } catch (error) {
    throw refusal(
      `${option} "${file}" cannot be read: ${errorText(error)}`,
      error,
    );
  }
}

function needKind(
  { asymmetricKeyType, asymmetricKeyDetails }: KeyObject,
  { type, curve }: KeyKind,
  signMethod: string,
): void {
  if (
    asymmetricKeyType !== type ||
    asymmetricKeyDetails?.namedCurve !== curve
  ) {
    throw refusal(`${signMethod} needs a key of type ${curve ?? type}`);
  }
  if (
    type === "rsa" && (asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS
  ) {
    throw refusal(`an RSA key needs at least ${MIN_RSA_BITS} bits`);
  }
}

/** Whether what the one signs, the other verifies. */
function arePair(signKey: KeyObject, publicKey: KeyObject): boolean {
  return createPublicKey(signKey).equals(publicKey);
}
