import assert from "node:assert/strict";
import { AuthChanges, type AuthTx } from "../../../src/auth/auth_changes.ts";
import { AuthState } from "../../../src/auth/auth_state.ts";
import { Admission } from "../../../src/rpc/admission.ts";
import type {
  Call,
  DuplexMethod,
  MessageReceiver,
  Method,
  UnaryMethod,
} from "../../../src/transport/grpc/service.ts";
import type { Status } from "../../../src/transport/grpc/status.ts";
import { FakeTokens, newAccess } from "../../support/access.ts";
import { FakeWriter } from "../transport/grpc/call_doubles.ts";

/** Auth that is on, with root and alice; both their tokens are their names. */
function enabledAuth(): AuthState {
  const auth = new AuthState();
  const changes = new AuthChanges(auth);
  const tx: AuthTx = {
    putState: (_, key, value) => auth.apply(key, value),
    pendingState: () => null,
    pendingStateKeys: () => [],
  };
  for (const name of ["root", "alice"]) {
    changes.addUser(tx, name, { passwordHash: "", noPassword: true });
  }
  changes.grantRole(tx, "root", "root");
  changes.enable(tx);
  return auth;
}

class Fixture {
  readonly tokens = new FakeTokens();
  readonly access = newAccess(enabledAuth(), this.tokens);
  readonly counted: string[] = [];
  readonly gate = new Admission(this.access, {
    clientRequest: (type, version) => this.counted.push(`${type} ${version}`),
  });

  constructor() {
    this.tokens.known.add("alice");
  }

  call(metadata: Readonly<Record<string, string>>): Call {
    return {
      path: "/t/T",
      peer: "test",
      certificateName: undefined,
      metadata: (name) => metadata[name],
      deadlineMs: Infinity,
      isCancelled: false,
      signal: new AbortController().signal,
    };
  }

  /** A unary method that answers who calls. */
  whoami(): UnaryMethod<string, string> {
    return this.gate.guard({
      kind: "unary",
      handle: (_request: string, call: Call) => this.access.caller(call)!.name,
    } as unknown as Method) as UnaryMethod<string, string>;
  }
}

Deno.test("Admission runs a handler at once unless its token takes time to verify", async () => {
  const f = new Fixture();
  const { handle } = f.whoami();
  assert.equal(handle("", f.call({ token: "alice" }), 0), "alice");
  assert.equal(handle("", f.call({}), 0), "");
  f.tokens.slow.add("alice");
  const answer = handle("", f.call({ authorization: "Bearer alice" }), 0);
  assert.ok(answer instanceof Promise);
  assert.equal(await answer, "alice");
});

Deno.test("Admission leaves a token that is not valid to the handler, slow or not", async () => {
  const f = new Fixture();
  const { handle } = f.whoami();
  const invalid = { kind: "invalidAuthToken" };
  assert.throws(() => handle("", f.call({ token: "bob" }), 0), invalid);
  f.tokens.slow.add("bob");
  await assert.rejects(
    async () => await handle("", f.call({ token: "bob" }), 0),
    invalid,
  );
});

Deno.test("Admission counts the client's version, and refuses one that is no text", () => {
  const f = new Fixture();
  const { handle } = f.whoami();
  handle("", f.call({ "client-api-version": "3.6.0" }), 0);
  handle("", f.call({}), 0);
  handle("", f.call({ "client-api-version": "\xc3\xa9" }), 0);
  assert.deepEqual(f.counted, [
    "unary 3.6.0",
    "unary unknown",
    "unary \xc3\xa9",
  ]);
  assert.throws(
    () => handle("", f.call({ "client-api-version": "\xff" }), 0),
    { kind: "invalidClientApiVersion" },
  );
});

/** Keeps what it is told. */
class Heard implements MessageReceiver<string> {
  readonly heard: string[] = [];
  onMessage(message: string): void {
    this.heard.push(message);
  }
  onHalfClose(): void {
    this.heard.push("half-close");
  }
  onCancel(): void {
    this.heard.push("cancel");
  }
}

function open(f: Fixture, receiver: Heard) {
  const out = new FakeWriter<string>();
  const method = f.gate.guard({
    kind: "duplex",
    open: () => {
      receiver.heard.push("open");
      return receiver;
    },
  } as unknown as Method) as DuplexMethod<string, string>;
  return { out, stream: method.open(f.call({ token: "alice" }), out) };
}

Deno.test("Admission keeps a stream's messages, in order, until its token is verified", async () => {
  const f = new Fixture();
  f.tokens.slow.add("alice");
  const receiver = new Heard();
  const { stream } = open(f, receiver);
  stream.onMessage("a");
  stream.onMessage("b");
  stream.onHalfClose();
  assert.deepEqual(receiver.heard, []);
  await Promise.resolve().then(() => {}).then(() => {});
  assert.deepEqual(receiver.heard, ["open", "a", "b", "half-close"]);
  stream.onMessage("c");
  stream.onCancel();
  assert.deepEqual(receiver.heard.slice(4), ["c", "cancel"]);
});

Deno.test("Admission never opens a stream that was cancelled meanwhile, or that sends too much", async () => {
  const f = new Fixture();
  f.tokens.slow.add("alice");
  const cancelled = new Heard();
  open(f, cancelled).stream.onCancel();
  const flooding = new Heard();
  const { out, stream } = open(f, flooding);
  for (let i = 0; i <= 1000; i++) stream.onMessage("x");
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([cancelled.heard, flooding.heard], [[], []]);
  assert.equal((out.endedWith as Status).code, 8);
});
