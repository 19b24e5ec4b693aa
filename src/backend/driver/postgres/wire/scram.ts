import {
  createHash,
  createHmac,
  pbkdf2,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { Buffer } from "node:buffer";
import { promisify } from "node:util";
import { PostgresError } from "./postgres_error.ts";

/**
 * The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: the server proves that it knows
 * the password as well.
 */
export class Scram {
  readonly #password: string;
  readonly #nonce: string;
  #expectedSignature: Uint8Array | undefined;

  constructor(
    password: string,
    nonce: string = randomBytes(18).toString("base64"),
  ) {
    this.#password = password;
    this.#nonce = nonce;
  }

  /** PostgreSQL takes the user from the start-up message. */
  clientFirst(): string {
    return `n,,n=,r=${this.#nonce}`;
  }

  /** Answers the server's challenge. */
  async clientFinal(serverFirst: string): Promise<string> {
    const { r: nonce, s: salt, i } = attributes(serverFirst);
    const iterations = Number(i);
    if (
      nonce === undefined || !nonce.startsWith(this.#nonce) ||
      nonce.length === this.#nonce.length || salt === undefined ||
      !(iterations >= MIN_ITERATIONS && iterations <= MAX_ITERATIONS)
    ) {
      throw new PostgresError("server's challenge makes no sense", REFUSED);
    }
    const salted = await derive(
      this.#password.normalize("NFKC"),
      Buffer.from(salt, "base64"),
      iterations,
      32,
      "sha256",
    );
    const withoutProof = `c=biws,r=${nonce}`;
    const message = `n=,r=${this.#nonce},${serverFirst},${withoutProof}`;
    const clientKey = hmac(salted, "Client Key");
    const signature = hmac(sha256(clientKey), message);
    const proof = Buffer.from(clientKey.map((b, at) => b ^ signature[at]!));
    this.#expectedSignature = hmac(hmac(salted, "Server Key"), message);
    return `${withoutProof},p=${proof.toString("base64")}`;
  }

  /** Throws unless the server knows the password. */
  verify(serverFinal: string): void {
    const signature = Buffer.from(
      attributes(serverFinal)["v"] ?? "",
      "base64",
    );
    const expected = this.#expectedSignature;
    if (
      expected === undefined || signature.length !== expected.length ||
      !timingSafeEqual(signature, expected)
    ) {
      throw new PostgresError("server does not know the password", REFUSED);
    }
  }
}

/** invalid_authorization_specification */
const REFUSED = "28000";
const MIN_ITERATIONS = 1;
/** PostgreSQL has 4096; a server that wants minutes of work is not served. */
const MAX_ITERATIONS = 10_000_000;

const derive = promisify(pbkdf2);

function attributes(message: string): Record<string, string | undefined> {
  const found: Record<string, string> = {};
  for (const part of message.split(",")) {
    if (part[1] === "=") found[part[0]!] = part.slice(2);
  }
  return found;
}

function hmac(key: Uint8Array, message: string): Buffer {
  return createHmac("sha256", key).update(message).digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
