import buffer from "node:buffer";
import type {
  Call,
  DuplexMethod,
  MessageReceiver,
  Method,
  ServerStreamMethod,
  UnaryMethod,
} from "../transport/grpc/service.ts";
import { DomainError } from "../base/errors.ts";
import type { Access } from "./access.ts";
import { STATUS } from "./errors.ts";

/** Counts calls by the version that the client says it is made for. */
export interface ClientRequests {
  clientRequest(type: "unary" | "stream", clientApiVersion: string): void;
}

/**
 * What every call passes before its handler runs: its version is counted, and its caller found out. The handler
 * runs at once, except for a token that takes time to verify.
 */
export class Admission {
  constructor(readonly access: Access, readonly requests: ClientRequests) {}

  /** The method behind this gate. */
  guard(method: Method): Method {
    switch (method.kind) {
      case "unary":
        return unary(method, this);
      case "serverStream":
        return serverStream(method, this);
      case "duplex":
        return duplex(method, this);
    }
  }

  /** Resolves when the handler may run; undefined: now. Throws for a version that is not UTF-8, as etcd. */
  admit(call: Call, type: "unary" | "stream"): Promise<void> | undefined {
    const version = call.metadata("client-api-version") ?? "unknown";
    if (!/^[\x20-\x7e]*$/.test(version) && !isUtf8(version)) {
      throw new DomainError("invalidClientApiVersion");
    }
    this.requests.clientRequest(type, version);
    return this.access.identify(call);
  }
}

/** Metadata comes as latin1. */
function isUtf8(latin1: string): boolean {
  return buffer.isUtf8(buffer.Buffer.from(latin1, "latin1"));
}

function unary<Req, Res>(
  method: UnaryMethod<Req, Res>,
  gate: Admission,
): UnaryMethod<Req, Res> {
  return {
    ...method,
    handle(request, call, bytes) {
      const waiting = gate.admit(call, "unary");
      if (waiting === undefined) return method.handle(request, call, bytes);
      return waiting.then(() => method.handle(request, call, bytes));
    },
  };
}

function serverStream<Req, Res>(
  method: ServerStreamMethod<Req, Res>,
  gate: Admission,
): ServerStreamMethod<Req, Res> {
  return {
    ...method,
    async handle(request, call, out) {
      await gate.admit(call, "stream");
      await method.handle(request, call, out);
    },
  };
}

function duplex<Req, Res>(
  method: DuplexMethod<Req, Res>,
  gate: Admission,
): DuplexMethod<Req, Res> {
  return {
    ...method,
    open(call, out) {
      const waiting = gate.admit(call, "stream");
      if (waiting === undefined) return method.open(call, out);
      return new WaitingReceiver(waiting, {
        open: () => method.open(call, out),
        refuse: () => out.end(STATUS.tooManyRequests),
      });
    },
  };
}

/** Verifying takes a millisecond: no honest client sends as much meanwhile. */
const MAX_KEPT = 1000;

/** Keeps what a client sends until the caller is known. */
class WaitingReceiver<M> implements MessageReceiver<M> {
  #receiver: MessageReceiver<M> | undefined = undefined;
  #isCancelled = false;
  #kept: ((receiver: MessageReceiver<M>) => void)[] = [];

  constructor(
    waiting: Promise<void>,
    readonly call: { open(): MessageReceiver<M>; refuse(): void },
  ) {
    void waiting.then(() => {
      if (this.#isCancelled) return;
      const receiver = this.#receiver = call.open();
      for (const deliver of this.#kept.splice(0)) deliver(receiver);
    });
  }

  onMessage(message: M): void {
    this.#pass((receiver) => receiver.onMessage(message));
  }

  onHalfClose(): void {
    this.#pass((receiver) => receiver.onHalfClose());
  }

  onCancel(): void {
    this.#isCancelled = true;
    this.#kept = [];
    this.#receiver?.onCancel();
  }

  #pass(deliver: (receiver: MessageReceiver<M>) => void): void {
    if (this.#receiver !== undefined) deliver(this.#receiver);
    else if (this.#kept.length < MAX_KEPT) this.#kept.push(deliver);
    else if (!this.#isCancelled) {
      this.onCancel();
      this.call.refuse();
    }
  }
}
