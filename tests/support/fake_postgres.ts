import { Buffer } from "node:buffer";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import net from "node:net";
import { MessageReader } from "../../src/backend/driver/postgres/wire/message_reader.ts";
import { MessageWriter } from "../../src/backend/driver/postgres/wire/message_writer.ts";

/** What a session of `FakePostgres` does with a statement: rows of cells, or an error. */
export type Answer = (statement: string) =>
  | readonly (readonly (Uint8Array | null)[])[]
  | { readonly code: string; readonly message: string }
  | "hang"
  | "hang up";

export interface FakePostgresOptions {
  /** Default: everybody is let in. */
  readonly authentication?: "trust" | "password" | "md5" | "scram";
  readonly password?: string;
  /** A server that is not who it says: its last word does not prove that it knows the password. */
  readonly isImpostor?: boolean;
  /** Bytes that a server writes at a time; default: all at once. */
  readonly chunkBytes?: number;
}

/** A server that speaks as much of PostgreSQL's protocol as the driver hears, and does as it is told. */
export class FakePostgres implements AsyncDisposable {
  /** Of every session, in order. */
  readonly statements: string[] = [];
  /** How often a statement came with its text. */
  parses = 0;
  /** CancelRequests. */
  cancels = 0;
  connections = 0;
  readonly #sockets = new Set<net.Socket>();

  private constructor(
    readonly server: net.Server,
    readonly options: FakePostgresOptions,
    public answer: Answer,
  ) {
    server.on("connection", (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
      new Session(socket, this).start();
    });
  }

  static async start(
    answer: Answer = () => [],
    options: FakePostgresOptions = {},
  ): Promise<FakePostgres> {
    const server = net.createServer();
    const fake = new FakePostgres(server, options, answer);
    await new Promise<void>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve())
    );
    return fake;
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  /** Sends a notification to every session. */
  notify(payload: string): void {
    const message = new MessageWriter().begin("A").int4(1)
      .string("stele_commit").string(payload).end().take();
    for (const socket of this.#sockets) socket.write(message);
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

const SALT = Buffer.from("a grain of salt");
const ITERATIONS = 4096;

class Session {
  readonly #socket: net.Socket;
  readonly #fake: FakePostgres;
  readonly #reader = new MessageReader();
  readonly #prepared = new Map<string, string>();
  #isStarted = false;
  #user = "";
  #bound = "";
  #failed = false;
  #clientFirst = "";
  #serverFirst = "";

  constructor(socket: net.Socket, fake: FakePostgres) {
    this.#socket = socket;
    this.#fake = fake;
  }

  start(): void {
    this.#socket.on("data", (chunk: Uint8Array) => {
      if (!this.#isStarted) return this.#startup(Buffer.from(chunk));
      this.#reader.push(chunk);
      for (let m = this.#reader.next(); m; m = this.#reader.next()) {
        this.#handle(String.fromCharCode(m.type), Buffer.from(m.body));
      }
    });
  }

  #startup(message: Buffer): void {
    const code = message.readInt32BE(4);
    if (code === 80877102) {
      this.#fake.cancels++;
      return;
    }
    // SSLRequest: no.
    if (code === 80877103) return void this.#socket.write("N");
    const words = message.subarray(8).toString().split("\0");
    this.#user = words[words.indexOf("user") + 1] ?? "";
    this.#isStarted = true;
    switch (this.#fake.options.authentication ?? "trust") {
      case "trust":
        return this.#letIn();
      case "password":
        return this.#ask(3);
      case "md5":
        return this.#ask(5, SALT.subarray(0, 4));
      case "scram":
        return this.#ask(10, Buffer.from("SCRAM-SHA-256\0\0"));
    }
  }

  #handle(type: string, body: Buffer): void {
    switch (type) {
      case "p":
        return this.#password(body);
      case "P": {
        this.#fake.parses++;
        const [name = "", statement = ""] = body.toString().split("\0");
        this.#prepared.set(name, statement);
        return this.#send("1");
      }
      case "B": {
        const [, name = ""] = body.toString("latin1").split("\0");
        this.#bound = this.#prepared.get(name) ?? "";
        return this.#send("2");
      }
      case "E":
        return this.#execute();
      case "S":
        if (!this.#failed) return this.#send("Z", Buffer.from("I"));
        this.#failed = false;
        return this.#send("Z", Buffer.from("I"));
      case "X":
        this.#socket.end();
    }
  }

  #execute(): void {
    this.#fake.statements.push(this.#bound);
    const answer = this.#fake.answer(this.#bound);
    if (answer === "hang") return this.#socket.pause() as unknown as void;
    if (answer === "hang up") return void this.#socket.destroy();
    if ("code" in answer) {
      this.#failed = true;
      return this.#error(answer.code, answer.message);
    }
    for (const row of answer) {
      const out = new MessageWriter().int2(row.length);
      for (const cell of row) {
        if (cell === null) out.int4(-1);
        else out.int4(cell.length).bytes(cell);
      }
      this.#send("D", out.take());
    }
    this.#send("C", Buffer.from(`SELECT ${answer.length}\0`));
  }

  #password(body: Buffer): void {
    const password = this.#fake.options.password ?? "";
    const said = body.toString().replace(/\0$/, "");
    switch (this.#fake.options.authentication) {
      case "password":
        return said === password ? this.#letIn() : this.#refuse();
      case "md5": {
        const inner = md5(Buffer.from(password + this.#user));
        const salted = Buffer.concat([
          Buffer.from(inner),
          SALT.subarray(0, 4),
        ]);
        return said === `md5${md5(salted)}` ? this.#letIn() : this.#refuse();
      }
      default:
        return this.#scram(said, password);
    }
  }

  #scram(said: string, password: string): void {
    if (this.#clientFirst === "") {
      this.#clientFirst = said.slice(said.indexOf("n=", said.indexOf("n,,")));
      const nonce = /r=(.*)$/.exec(said)![1];
      this.#serverFirst = `r=${nonce}server,s=${
        SALT.toString("base64")
      },i=${ITERATIONS}`;
      return this.#ask(11, Buffer.from(this.#serverFirst));
    }
    const [withoutProof, proof = ""] = said.split(",p=");
    const salted = pbkdf2Sync(password, SALT, ITERATIONS, 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const stored = createHash("sha256").update(clientKey).digest();
    const message = `${this.#clientFirst},${this.#serverFirst},${withoutProof}`;
    const signature = hmac(stored, message);
    const expected = clientKey.map((byte, i) => byte ^ signature[i]!);
    if (!Buffer.from(proof, "base64").equals(expected)) return this.#refuse();
    const last = this.#fake.options.isImpostor
      ? Buffer.alloc(32)
      : hmac(hmac(salted, "Server Key"), message);
    this.#ask(12, Buffer.from(`v=${last.toString("base64")}`));
    this.#letIn();
  }

  #ask(kind: number, rest: Buffer = Buffer.alloc(0)): void {
    const body = new MessageWriter().int4(kind).bytes(rest).take();
    this.#send("R", body);
  }

  #letIn(): void {
    this.#ask(0);
    this.#send("K", new MessageWriter().int4(1).int4(2).take());
    this.#send("Z", Buffer.from("I"));
  }

  #refuse(): void {
    this.#error("28P01", "password authentication failed");
    this.#socket.end();
  }

  #error(code: string, message: string): void {
    const text = `SERROR\0C${code}\0M${message}\0Dsecret detail\0\0`;
    this.#send("E", Buffer.from(text));
  }

  #send(type: string, body: Uint8Array = new Uint8Array(0)): void {
    const message = new MessageWriter().begin(type).bytes(body).end().take();
    const step = this.#fake.options.chunkBytes ?? message.length;
    for (let at = 0; at < message.length; at += step) {
      this.#socket.write(message.subarray(at, at + step));
    }
  }
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

function hmac(key: Uint8Array, message: string): Buffer {
  return createHmac("sha256", key).update(message).digest();
}
