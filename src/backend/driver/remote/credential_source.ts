import { BackendError } from "../../backend.ts";
import type { DatabaseUrl, PasswordSource } from "./database_url.ts";
import type { Credentials, TlsMaterial } from "./protocol.ts";

/** What a new connection needs beyond the address; asked for each of them, so that it can change meanwhile. */
export interface CredentialSource {
  read(): Promise<Credentials>;
}

/**
 * Passwords and keys from wherever the URL and the settings say.
 *
 * Lives in the main thread: the database's worker can read no file and run no command. Nothing that is read here
 * becomes part of a message.
 */
export class UrlCredentials implements CredentialSource {
  readonly #url: DatabaseUrl;

  constructor(url: DatabaseUrl) {
    this.#url = url;
  }

  async read(): Promise<Credentials> {
    const { password, address } = this.#url;
    return {
      password: await readPassword(password, address.connectTimeoutMs),
      tls: await this.#tls(),
    };
  }

  async #tls(): Promise<TlsMaterial | undefined> {
    const { sslMode, sslRootCert, sslCert, sslKey } = this.#url;
    if (sslMode === "disable") return undefined;
    const [authorities, certificate, key] = await Promise.all(
      [sslRootCert, sslCert, sslKey].map((path) =>
        path === undefined ? undefined : readFile(path)
      ),
    );
    return { verify: VERIFY[sslMode], authorities, certificate, key };
  }
}

const VERIFY = {
  require: "none",
  "verify-ca": "authority",
  "verify-full": "name",
} as const;

/** No token is longer; what is written beyond it is not waited for. */
const MAX_PASSWORD_BYTES = 64 * 1024;

async function readPassword(
  source: PasswordSource,
  timeoutMs: number,
): Promise<string> {
  switch (source.kind) {
    case "text":
      return source.text;
    case "file":
      return withoutLineEnd(await readFile(source.path));
    case "command":
      return withoutLineEnd(await run(source, timeoutMs));
  }
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, "");
}

async function readFile(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BackendError(`Cannot read ${JSON.stringify(path)}: ${reason}`, {
      cause: error,
    });
  }
}

/** What it says on standard error goes to ours. */
async function run(
  { command, environment }: Extract<PasswordSource, { kind: "command" }>,
  timeoutMs: number,
): Promise<string> {
  const cannot = (why: string, cause?: unknown) =>
    new BackendError(
      `Cannot get the database's password: datastore-password-command ${why}`,
      { cause },
    );
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const { code, stdout } = await new Deno.Command("/bin/sh", {
      args: ["-c", command],
      env: { ...environment },
      clearEnv: true,
      stdin: "null",
      stderr: "inherit",
      signal: timeout,
    }).output();
    if (timeout.aborted) throw cannot(`took longer than ${timeoutMs} ms`);
    if (code !== 0) throw cannot(`ended with status ${code}`);
    if (stdout.length > MAX_PASSWORD_BYTES) {
      throw cannot(`wrote more than ${MAX_PASSWORD_BYTES} bytes`);
    }
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (error instanceof BackendError) throw error;
    throw cannot("could not be run", error);
  }
}
