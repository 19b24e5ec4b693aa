import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  openTokens,
  type TokenProvider,
} from "../../src/auth/token_provider.ts";
import type { Clock } from "../../src/base/clock.ts";
import { FakeClock } from "./fake_clock.ts";

export type KeyName = "rsa" | "weakRsa" | "p256" | "p384" | "p521" | "ed25519";

/** How a file of keys is written. */
export type KeyForm = "pkcs8" | "pkcs1" | "sec1" | "spki";

/** A folder of keys for JWTs, each made when it is first asked for; gone with the test. */
export class JwtKeys implements Disposable {
  readonly #dir = Deno.makeTempDirSync();
  readonly #pairs = new Map<
    KeyName,
    { privateKey: KeyObject; publicKey: KeyObject }
  >();

  /** Path of a private key, as PKCS#8 unless told otherwise. */
  privateFile(name: KeyName, form: KeyForm = "pkcs8"): string {
    const pem = this.#pair(name).privateKey.export({
      type: form as "pkcs8",
      format: "pem",
    });
    return this.file(`${name}.${form}.pem`, String(pem));
  }

  /** Path of a public key, as PKIX unless told otherwise. */
  publicFile(name: KeyName, form: KeyForm = "spki"): string {
    const pem = this.#pair(name).publicKey.export({
      type: form as "spki",
      format: "pem",
    });
    return this.file(`${name}.${form}.pub`, String(pem));
  }

  /** Path of a new file. */
  file(name: string, content: string | Uint8Array): string {
    const path = `${this.#dir}/${name}`;
    if (typeof content === "string") Deno.writeTextFileSync(path, content);
    else Deno.writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#dir, { recursive: true });
  }

  #pair(name: KeyName): { privateKey: KeyObject; publicKey: KeyObject } {
    const known = this.#pairs.get(name);
    if (known !== undefined) return known;
    const pair = generate(name);
    this.#pairs.set(name, pair);
    return pair;
  }
}

/** The provider for what stands behind `--auth-token`. */
export function openTestTokens(
  authToken: string,
  clock: Clock = new FakeClock(),
): Promise<TokenProvider> {
  return openTokens({ authToken, ttlSeconds: 300, clock, seq: () => 7 });
}

/** A JWT by hand, signed with HMAC-SHA256, or without a signature. */
export function forgeJwt(
  header: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>>,
  secret?: string | Uint8Array,
): string {
  const body = [header, claims].map((part) =>
    btoa(JSON.stringify(part)).replaceAll("+", "-").replaceAll("/", "_")
      .replaceAll("=", "")
  ).join(".");
  if (secret === undefined) return `${body}.`;
  const signature = createHmac("sha256", secret).update(body);
  return `${body}.${signature.digest("base64url")}`;
}

function generate(
  name: KeyName,
): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (name) {
    case "rsa":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "weakRsa":
      return generateKeyPairSync("rsa", { modulusLength: 1024 });
    case "p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "p384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" });
    case "p521":
      return generateKeyPairSync("ec", { namedCurve: "P-521" });
    case "ed25519":
      return generateKeyPairSync("ed25519");
  }
}
