import { concatBytes } from "../../src/base/bytes.ts";
import type {
  AnswerPart,
  DatabaseError,
  Request,
  Wire,
} from "./fault_proxy_wire.ts";

/**
 * What can happen to a request on its way to a database:
 *
 * `cutBefore`    connection lost, the server never saw the request
 * `cutAfter`     connection lost, the server has executed it
 * `cutInAnswer`  likewise, in the middle of the answer
 * `delay`        the request takes longer
 * `delayAnswer`  the answer takes longer
 * `drop`         from this request on nothing goes either way; the connection stays
 * `dropAnswer`   likewise, but the server executes this one
 * `late`         likewise, but the server gets it when the client has hung up, and so long after
 * `error`        the server refuses to execute it
 * `undone`       the server executes it and fails to commit
 * `errorAfter`   the server executes it and fails afterwards
 */
export type Fault =
  | { readonly kind: "cutBefore" }
  | {
    readonly kind: "cutAfter";
    /** Called when the server has executed it. */
    readonly then?: () => void;
  }
  | {
    readonly kind: "cutInAnswer";
    /** How much of the answer arrives, from 0 to less than 1. */
    readonly share: number;
  }
  | { readonly kind: "drop" | "dropAnswer" }
  | { readonly kind: "delay" | "delayAnswer" | "late"; readonly ms: number }
  | {
    readonly kind: "error" | "undone" | "errorAfter";
    readonly error: DatabaseError;
  };

/** Decides what happens to a request; undefined: nothing. */
export type FaultPlan = (request: Request) => Fault | undefined;

/** One client's connection and the one to the server that was made for it. */
export class ProxiedConnection {
  readonly #client: Deno.Conn;
  readonly #server: Deno.Conn;
  readonly #wire: Wire;
  readonly #plan: FaultPlan;
  /** Those that the client waits for, in order, with what is to happen to each. */
  readonly #awaited: (Fault | undefined)[] = [];
  /** Of the answer that is to be cut. */
  readonly #heldBack: Uint8Array[] = [];
  /** The client has been told of a failure that replaces what is left of the answer. */
  #isFailed = false;
  #isSilent = false;
  #isClosed = false;
  #late: { readonly bytes: Uint8Array; readonly ms: number } | undefined;

  constructor(
    client: Deno.Conn,
    server: Deno.Conn,
    wire: Wire,
    plan: FaultPlan,
  ) {
    this.#client = client;
    this.#server = server;
    this.#wire = wire;
    this.#plan = plan;
  }

  /** Resolves when both ends are closed. */
  async run(): Promise<void> {
    await Promise.all([this.#serveClient(), this.#serveServer()]);
  }

  /** Ends both connections, whatever is on its way. */
  cut(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.close();
    this.#server.close();
  }

  /** From now on nothing goes either way, and nobody is told. */
  silence(): void {
    this.#isSilent = true;
  }

  async #serveClient(): Promise<void> {
    for (const request of this.#wire.begin()) await this.#ask(request);
    for await (const chunk of chunksOf(this.#client)) {
      for (const request of this.#wire.requests(chunk)) {
        await this.#ask(request);
      }
    }
    if (this.#late === undefined || this.#isClosed) return this.cut();
    await sleep(this.#late.ms);
    await this.#write(this.#server, this.#late.bytes);
  }

  async #serveServer(): Promise<void> {
    for await (const chunk of chunksOf(this.#server)) {
      for (const part of this.#wire.answers(chunk)) await this.#answer(part);
    }
    if (!this.#isSilent) this.cut();
  }

  async #ask(request: Request): Promise<void> {
    if (this.#isSilent || this.#isClosed) return;
    const fault = request.kind === "other" ? undefined : this.#plan(request);
    switch (fault?.kind) {
      case "cutBefore":
        return this.cut();
      case "drop":
        this.#isSilent = true;
        return;
      case "late":
        this.#isSilent = true;
        this.#awaited.push(fault);
        this.#late = { bytes: request.bytes, ms: fault.ms };
        return;
      case "error":
        this.#awaited.push(fault);
        return await this.#refuseNext();
      case "delay":
        await sleep(fault.ms);
    }
    if (request.isAnswered) this.#awaited.push(fault);
    const isUndone = fault?.kind === "undone";
    const bytes = isUndone ? this.#wire.undone(request) : request.bytes;
    await this.#write(this.#server, bytes);
  }

  async #answer(part: AnswerPart): Promise<void> {
    const fault = this.#awaited[0];
    if (part.endsAnswer) this.#awaited.shift();
    if (this.#isSilent) return this.#swallow();
    if (this.#isFailed) {
      if (part.endsAnswer) this.#isFailed = false;
      return await this.#refuseNext();
    }
    switch (fault?.kind) {
      case "cutAfter":
        if (!part.endsAnswer) return;
        fault.then?.();
        return this.cut();
      case "cutInAnswer":
        this.#heldBack.push(part.bytes);
        return part.endsAnswer ? await this.#cutAt(fault.share) : undefined;
      case "dropAnswer":
        this.#isSilent = true;
        return;
      case "delayAnswer":
        if (part.endsAnswer) await sleep(fault.ms);
        break;
      case "undone":
        if (!part.isError) break;
        this.#isFailed = !part.endsAnswer;
        await this.#fail(fault.error, part);
        return await this.#refuseNext();
      case "errorAfter":
        if (!part.endsAnswer) return;
        await this.#fail(fault.error);
        return await this.#refuseNext();
    }
    await this.#write(this.#client, part.bytes);
    if (part.endsAnswer) await this.#refuseNext();
  }

  /** A late request has been executed: nobody wants to know. */
  #swallow(): void {
    if (this.#late !== undefined && this.#awaited.length === 0) this.cut();
  }

  async #cutAt(share: number): Promise<void> {
    const answer = concatBytes(...this.#heldBack);
    const length = Math.floor(answer.length * share);
    await this.#write(this.#client, answer.subarray(0, length));
    this.cut();
  }

  /** The server knows nothing of refused requests: they are answered here when it is their turn. */
  async #refuseNext(): Promise<void> {
    for (;;) {
      const next = this.#awaited[0];
      if (next?.kind !== "error" || this.#isClosed) return;
      this.#awaited.shift();
      await this.#fail(next.error);
    }
  }

  async #fail(error: DatabaseError, replaced?: AnswerPart): Promise<void> {
    await this.#write(this.#client, this.#wire.failure(error, replaced));
    if (error.isFatal) this.cut();
  }

  async #write(to: Deno.Conn, bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) {
        at += await to.write(bytes.subarray(at));
      }
    } catch {
      this.cut(); // who reads from the other end sees that it is gone
    }
  }
}

/** Until the connection ends, in whatever way. */
async function* chunksOf(
  connection: Deno.Conn,
): AsyncGenerator<Uint8Array, void> {
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    let length: number | null;
    try {
      length = await connection.read(buffer);
    } catch {
      return; // reset by the other side, or closed by us
    }
    if (length === null) return;
    yield buffer.slice(0, length);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
