import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { assert } from "../../../../base/assert.ts";
import type { Clock } from "../../../../base/clock.ts";
import type {
  Credentials,
  HostPort,
  TlsMaterial,
} from "../../remote/protocol.ts";
import type { Row, Value } from "./binary.ts";
import { int4, type Message, MessageReader } from "./message_reader.ts";
import { MessageWriter } from "./message_writer.ts";
import {
  CONNECTION_FAILURE,
  parseError,
  PostgresError,
  UNABLE_TO_CONNECT,
} from "./postgres_error.ts";
import { Scram } from "./scram.ts";

/** How to come to a session. */
export interface SessionOptions {
  readonly user: string;
  readonly database: string;
  readonly connectTimeoutMs: number;
}

/** Who is told of what comes unasked. */
export interface ConnectionListener {
  notified(payload: string): void;
  /** Once, and nothing after it. */
  lost(error: PostgresError): void;
}

/**
 * One session of PostgreSQL's protocol, version 3.0, in binary.
 *
 * A statement is Parse (unless the session has it), Bind, Execute and Sync in one write, with results in binary, and
 * one is under way at a time. There is no Describe: whoever asks knows what comes.
 *
 *   open() --ready--> idle --query()--> busy --ReadyForQuery--> idle
 *                       any --the socket ends, destroy()--> closed
 */
export class Connection {
  readonly #socket: net.Socket;
  readonly #listener: ConnectionListener;
  readonly #reader = new MessageReader();
  /** Statement → its name in this session. */
  readonly #prepared = new Map<string, string>();
  #current: Statement | undefined;
  #startup: Startup | undefined;
  #endReason: PostgresError | undefined;
  #isClosed = false;
  #isInTransaction = false;
  #backend: { pid: number; secret: Uint8Array } | undefined;
  readonly #at: HostPort;
  readonly #isEncrypted: boolean;

  private constructor(
    socket: net.Socket,
    listener: ConnectionListener,
    startup: Startup,
    at: HostPort,
    isEncrypted: boolean,
  ) {
    this.#socket = socket;
    this.#listener = listener;
    this.#startup = startup;
    this.#at = at;
    this.#isEncrypted = isEncrypted;
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("error", (error) => this.#close(lostBy(error)));
    socket.on("close", () => this.#close(undefined));
  }

  /** Connects, encrypts, and gets in; rejects with `PostgresError` if any of this fails or takes too long. */
  static async open(
    at: HostPort,
    credentials: Credentials,
    options: SessionOptions,
    clock: Clock,
    listener: ConnectionListener,
  ): Promise<Connection> {
    const { socket: plain, connected } = connect(at);
    let socket = plain;
    const giveUp = Promise.withResolvers<never>();
    const timer = clock.after(options.connectTimeoutMs, () => {
      giveUp.reject(
        new PostgresError(
          `no connection to ${
            nameOf(at)
          } within ${options.connectTimeoutMs} ms`,
          UNABLE_TO_CONNECT,
        ),
      );
    });
    const opening = async () => {
      await connected;
      socket = credentials.tls === undefined
        ? plain
        : await encrypt(plain, at, credentials.tls);
      const ready = Promise.withResolvers<void>();
      const startup = { ready, password: credentials.password, options };
      const connection = new Connection(
        socket,
        listener,
        { ...startup, scram: undefined, isTrusted: false },
        at,
        credentials.tls !== undefined,
      );
      connection.#sendStartup(options);
      await ready.promise;
      return connection;
    };
    try {
      return await Promise.race([opening(), giveUp.promise]);
    } catch (error) {
      plain.destroy();
      socket.destroy();
      throw error instanceof PostgresError ? error : unreachable(at, error);
    } finally {
      timer.cancel();
    }
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isBusy(): boolean {
    return this.#current !== undefined;
  }

  /** Whoever had the session last has begun a transaction and not ended it. */
  get isInTransaction(): boolean {
    return this.#isInTransaction;
  }

  /** `prepare`: the session keeps the statement for the next time. */
  query(
    statement: string,
    parameters: readonly Value[],
    options: { readonly prepare: boolean },
  ): Promise<Row[]> {
    assert(this.#current === undefined, "a statement is under way");
    if (this.#isClosed) {
      return Promise.reject(this.#endReason ?? closedBy("us"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Row[]>();
    const known = this.#prepared.get(statement);
    const name = options.prepare
      ? known ?? `stele_${this.#prepared.size + 1}`
      : "";
    const current = { statement, name, rows: [], error: undefined };
    this.#current = { ...current, resolve, reject };
    const bytes = parameters.reduce((sum, { length }) => sum + 4 + length, 0);
    const out = new MessageWriter({
      expectedBytes: bytes + statement.length + QUERY_OVERHEAD_BYTES,
    });
    if (!options.prepare || known === undefined) {
      out.begin("P").string(name).string(statement).int2(0).end();
    }
    out.begin("B").string("").string(name);
    out.int2(1).int2(BINARY).int2(parameters.length);
    for (const value of parameters) out.int4(value.length).bytes(value);
    out.int2(1).int2(BINARY).end();
    out.begin("E").string("").int4(0).end();
    out.begin("S").end();
    this.#socket.write(out.take());
    return promise;
  }

  /** Ends the session when it has nothing to do. */
  end(): void {
    if (this.#isClosed) return;
    this.#socket.write(new MessageWriter().begin("X").end().take());
    this.destroy();
  }

  /** Ends it at once. What is under way is asked to stop, and is rejected. */
  destroy(): void {
    if (this.isBusy) this.#cancel();
    this.#close(closedBy("us"));
  }

  /** As libpq does: a connection of its own, which nobody answers, and which is never encrypted. */
  #cancel(): void {
    if (this.#backend === undefined || this.#isEncrypted) return;
    const { pid, secret } = this.#backend;
    const message = new MessageWriter().begin("").int4(CANCEL_REQUEST)
      .int4(pid).bytes(secret).end().take();
    const { socket, connected } = connect(this.#at);
    connected.then(() => socket.end(message), () => {});
  }

  #sendStartup({ user, database }: SessionOptions): void {
    const out = new MessageWriter().begin("").int4(PROTOCOL_VERSION);
    out.string("user").string(user).string("database").string(database);
    out.string("application_name").string("stele");
    out.string("client_encoding").string("UTF8").int1(0).end();
    this.#socket.write(out.take());
  }

  #receive(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      this.#reader.push(chunk);
      for (let m = this.#reader.next(); m; m = this.#reader.next()) {
        this.#handle(m);
        if (this.#isClosed) return;
      }
    } catch (error) {
      if (!(error instanceof PostgresError)) throw error;
      this.#close(error);
    }
  }

  #handle({ type, body }: Message): void {
    switch (type) {
      case DATA_ROW:
        this.#current?.rows.push(parseRow(body));
        return;
      case PARSE_COMPLETE:
        return this.#parsed();
      case READY_FOR_QUERY:
        this.#isInTransaction = body[0] !== IDLE;
        return this.#ready();
      case ERROR_RESPONSE:
        return this.#failed(parseError(body));
      case NOTIFICATION:
        return this.#listener.notified(payloadOf(body));
      case AUTHENTICATION:
        void this.#authenticate(body);
        return;
      case BACKEND_KEY_DATA:
        this.#backend = { pid: int4(body, 0), secret: body.slice(4) };
        return;
      case COPY_IN:
      case COPY_OUT:
      case COPY_BOTH:
        throw new PostgresError("server wants to copy", "08P01");
      default:
        // BindComplete, CommandComplete, ParameterStatus, notices: nothing that we need to know.
        return;
    }
  }

  #parsed(): void {
    const current = this.#current;
    if (current === undefined || current.name === "") return;
    this.#prepared.set(current.statement, current.name);
  }

  #ready(): void {
    if (this.#startup !== undefined) {
      const { ready, scram, isTrusted } = this.#startup;
      this.#startup = undefined;
      if (scram !== undefined && !isTrusted) {
        throw new PostgresError("server did not prove itself", "28000");
      }
      return ready.resolve();
    }
    const current = this.#current;
    this.#current = undefined;
    if (current?.error !== undefined) current.reject(current.error);
    else current?.resolve(current.rows);
  }

  #failed(error: PostgresError): void {
    if (this.#current !== undefined) this.#current.error ??= error;
    // Nobody asked: the server says why it is about to hang up, or why it does not let us in.
    else this.#endReason = error;
    if (this.#startup !== undefined) this.#close(error);
  }

  async #authenticate(body: Uint8Array): Promise<void> {
    const startup = this.#startup;
    if (startup === undefined) return;
    try {
      const answer = await answerTo(body, startup);
      if (answer !== undefined) this.#socket.write(answer);
    } catch (error) {
      this.#close(
        error instanceof PostgresError
          ? error
          : new PostgresError("Cannot authenticate", "28000", { cause: error }),
      );
    }
  }

  /** `reason` undefined: the other side hung up. */
  #close(reason: PostgresError | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const error = this.#endReason ?? reason ?? closedBy("the server");
    this.#endReason = error;
    const current = this.#current;
    this.#current = undefined;
    this.#socket.destroy();
    current?.reject(current.error ?? error);
    this.#startup?.ready.reject(error);
    this.#startup = undefined;
    this.#listener.lost(error);
  }
}

/** A statement under way. */
interface Statement {
  readonly statement: string;
  readonly name: string;
  readonly rows: Row[];
  error: PostgresError | undefined;
  readonly resolve: (rows: Row[]) => void;
  readonly reject: (error: PostgresError) => void;
}

interface Startup {
  readonly ready: PromiseWithResolvers<void>;
  readonly password: string;
  readonly options: SessionOptions;
  scram: Scram | undefined;
  /** The server has proved that it knows the password. */
  isTrusted: boolean;
}

const PROTOCOL_VERSION = 3 << 16;
const SSL_REQUEST = 80877103;
const CANCEL_REQUEST = 80877102;
const BINARY = 1;
/** Headers and names of the four messages of a statement. */
const QUERY_OVERHEAD_BYTES = 128;

const DATA_ROW = "D".charCodeAt(0);
const PARSE_COMPLETE = "1".charCodeAt(0);
const READY_FOR_QUERY = "Z".charCodeAt(0);
const ERROR_RESPONSE = "E".charCodeAt(0);
const NOTIFICATION = "A".charCodeAt(0);
/** In ReadyForQuery. */
const IDLE = "I".charCodeAt(0);
const AUTHENTICATION = "R".charCodeAt(0);
const BACKEND_KEY_DATA = "K".charCodeAt(0);
const COPY_IN = "G".charCodeAt(0);
const COPY_OUT = "H".charCodeAt(0);
const COPY_BOTH = "W".charCodeAt(0);

const AuthenticationKind = {
  Ok: 0,
  CleartextPassword: 3,
  Md5Password: 5,
  Sasl: 10,
  SaslContinue: 11,
  SaslFinal: 12,
} as const;

const UTF8 = new TextDecoder();

/** What to send for an Authentication message; undefined: nothing. */
async function answerTo(
  body: Uint8Array,
  startup: Startup,
): Promise<Uint8Array | undefined> {
  const { password, options: { user } } = startup;
  const rest = body.subarray(4);
  const out = new MessageWriter();
  switch (int4(body, 0)) {
    case AuthenticationKind.Ok:
      return undefined;
    case AuthenticationKind.CleartextPassword:
      return out.begin("p").string(password).end().take();
    case AuthenticationKind.Md5Password: {
      const inner = md5(Buffer.from(password + user));
      const outer = md5(Buffer.concat([Buffer.from(inner), rest]));
      return out.begin("p").string(`md5${outer}`).end().take();
    }
    case AuthenticationKind.Sasl: {
      if (!UTF8.decode(rest).split("\0").includes("SCRAM-SHA-256")) {
        throw new PostgresError("server does not take SCRAM-SHA-256", "28000");
      }
      startup.scram = new Scram(password);
      const first = Buffer.from(startup.scram.clientFirst());
      out.begin("p").string("SCRAM-SHA-256").int4(first.length);
      return out.bytes(first).end().take();
    }
    case AuthenticationKind.SaslContinue: {
      const final = await startup.scram?.clientFinal(UTF8.decode(rest));
      return out.begin("p").bytes(Buffer.from(final ?? "")).end().take();
    }
    case AuthenticationKind.SaslFinal:
      startup.scram?.verify(UTF8.decode(rest));
      startup.isTrusted = true;
      return undefined;
    default:
      throw new PostgresError(
        "server asks for a kind of authentication that is none of password, md5 and SCRAM-SHA-256",
        "28000",
      );
  }
}

function parseRow(body: Uint8Array): Row {
  const count = (body[0]! << 8) | body[1]!;
  const cells = new Array<Uint8Array | null>(count);
  let at = 2;
  for (let i = 0; i < count; i++) {
    const length = int4(body, at);
    at += 4;
    if (length < 0) cells[i] = null;
    else {
      cells[i] = body.subarray(at, at + length);
      at += length;
    }
  }
  if (at === body.length) return cells;
  throw new PostgresError("server sent what is no row", "08P01");
}

/** i32 process, channel, payload. */
function payloadOf(body: Uint8Array): string {
  const start = body.indexOf(0, 4) + 1;
  return UTF8.decode(body.subarray(start, body.indexOf(0, start)));
}

function connect(at: HostPort) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net.connect({ host: at.host, port: at.port });
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  socket.once("connect", () => resolve());
  socket.once("error", reject);
  // What happens later is for whoever has the socket by then.
  promise.catch(() => {});
  return { socket, connected: promise };
}

/** Firewalls forget connections that are silent for longer. */
const KEEP_ALIVE_MS = 60_000;

async function encrypt(
  socket: net.Socket,
  at: HostPort,
  material: TlsMaterial,
): Promise<net.Socket> {
  const request = new MessageWriter().begin("").int4(SSL_REQUEST).end();
  const answer = new Promise<Uint8Array>((resolve, reject) => {
    socket.once("data", resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(closedBy("the server")));
  });
  socket.write(request.take());
  const bytes = await answer;
  // Whatever else came did not come through TLS: somebody else may have sent it (CVE-2021-23222).
  if (bytes.length !== 1 || bytes[0] !== "S".charCodeAt(0)) {
    throw new PostgresError(
      `${nameOf(at)} does not speak TLS`,
      UNABLE_TO_CONNECT,
    );
  }
  socket.removeAllListeners();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const encrypted = tls.connect({ ...tlsOptions(material, at.host), socket });
  encrypted.once("secureConnect", () => resolve());
  encrypted.once("error", reject);
  encrypted.once("close", () => reject(closedBy("the server")));
  try {
    await promise;
  } catch (error) {
    throw isCut(error) ? error : distrusted(at, error);
  }
  encrypted.removeAllListeners("error");
  encrypted.removeAllListeners("close");
  return encrypted;
}

function tlsOptions(material: TlsMaterial, host: string) {
  const { authorities, certificate, key, verify } = material;
  return {
    ...(authorities === undefined ? {} : { ca: authorities }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
    ...(net.isIP(host) === 0 ? { servername: host } : { host }),
    rejectUnauthorized: verify !== "none",
    ...(verify === "name" ? {} : { checkServerIdentity: () => undefined }),
  };
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

function lostBy(error: unknown): PostgresError {
  const why = error instanceof Error ? error.message : String(error);
  return new PostgresError(`connection lost: ${why}`, CONNECTION_FAILURE, {
    cause: error,
  });
}

function closedBy(whom: string): PostgresError {
  return new PostgresError(
    `connection was closed by ${whom}`,
    CONNECTION_FAILURE,
  );
}

/** Another attempt would not help: one of the two does not trust the other's certificate. */
function distrusted(at: HostPort, error: unknown): PostgresError {
  const why = error instanceof Error ? error.message : String(error);
  return new PostgresError(
    `no TLS connection to ${nameOf(at)}: ${why}`,
    "28000",
    { cause: error },
  );
}

function isCut(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof PostgresError ||
    (typeof code === "string" && /^E(CONN|PIPE|TIMEDOUT|HOST|NET)/.test(code));
}

function unreachable(at: HostPort, error: unknown): PostgresError {
  const why = error instanceof Error ? error.message : String(error);
  return new PostgresError(
    `no connection to ${nameOf(at)}: ${why}`,
    UNABLE_TO_CONNECT,
    { cause: error },
  );
}

function nameOf({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
