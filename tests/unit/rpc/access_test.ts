import assert from "node:assert/strict";
import { AuthChanges, type AuthTx } from "../../../src/auth/auth_changes.ts";
import { AuthState } from "../../../src/auth/auth_state.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import type { DomainError, ErrorKind } from "../../../src/base/errors.ts";
import { newPermission, Permission_Type } from "../../../src/pb/authpb.ts";
import { newPutRequest, newTxnRequest } from "../../../src/pb/etcdserverpb.ts";
import type { Call } from "../../../src/transport/grpc/service.ts";
import { newAccess } from "../../support/access.ts";

/** A write's transaction in which nobody has changed users or roles. */
const UNCHANGED = { pendingState: () => null, keysOfLease: () => [] };

/** Alice may write `a`. */
class Fixture {
  readonly auth = new AuthState();
  readonly access = newAccess(this.auth);
  readonly #changes = new AuthChanges(this.auth);
  readonly #tx: AuthTx = {
    putState: (_, key, value) => this.auth.apply(key, value),
    pendingState: () => null,
    pendingStateKeys: () => [],
  };

  constructor() {
    const changes = this.#changes;
    const tx = this.#tx;
    for (const name of ["root", "alice"]) {
      changes.addUser(tx, name, { passwordHash: "", noPassword: true });
    }
    changes.grantRole(tx, "root", "root");
    changes.addRole(tx, "r");
    const permission = newPermission({
      permType: Permission_Type.WRITE,
      key: utf8("a"),
    });
    changes.grantPermission(tx, "r", permission);
    changes.grantRole(tx, "alice", "r");
  }

  enable(): void {
    this.#changes.enable(this.#tx);
  }

  grantRead(key: string): void {
    this.#changes.grantPermission(
      this.#tx,
      "r",
      newPermission({ permType: Permission_Type.READWRITE, key: utf8(key) }),
    );
  }

  put(call: Call, key: string): void {
    this.access.put(call, newPutRequest({ key: utf8(key) }))(UNCHANGED);
  }
}

Deno.test("Access.vouch() stands for a token", () => {
  const f = new Fixture();
  f.enable();
  const call = newCall();
  f.access.vouch(call, { name: "alice", revision: f.auth.revision });
  f.put(call, "a");
  fails("permissionDenied", () => f.put(call, "b"));
  fails("userEmpty", () => f.put(newCall(), "a"));
});

Deno.test("Access.vouch() of a caller from an older auth revision is refused as etcd does", () => {
  const f = new Fixture();
  f.enable();
  const call = newCall();
  f.access.vouch(call, { name: "alice", revision: f.auth.revision - 1 });
  fails("authOldRevision", () => f.put(call, "a"));
});

Deno.test("Access.vouch() of a server where auth was off lets nobody in where it is on", () => {
  const f = new Fixture();
  const call = newCall();
  f.access.vouch(call, undefined);
  f.put(call, "a");
  f.enable();
  fails("userEmpty", () => f.put(call, "a"));
  fails("userEmpty", () => f.access.requireLogin(call));
});

Deno.test("Access.vouch() of a named caller means nothing while auth is off", () => {
  const f = new Fixture();
  const call = newCall();
  f.access.vouch(call, { name: "alice", revision: 9 });
  assert.equal(f.access.caller(call), undefined);
});

Deno.test("Access refuses reads with a token of another auth revision, writes with one of an older", () => {
  const f = new Fixture();
  f.enable();
  const readable = { key: utf8("a"), rangeEnd: utf8("") };
  f.grantRead("a");
  const withRevision = (revision: number) => {
    const call = newCall();
    f.access.vouch(call, { name: "alice", revision });
    return call;
  };
  const { revision } = f.auth;
  const current = withRevision(revision);
  f.access.requireRange(current, readable);
  f.access.requireReads(current, newTxnRequest());
  for (
    const other of [withRevision(revision - 1), withRevision(revision + 1)]
  ) {
    fails("authOldRevision", () => f.access.requireRange(other, readable));
    fails(
      "authOldRevision",
      () => f.access.requireReads(other, newTxnRequest()),
    );
  }
  const newer = withRevision(revision + 1);
  f.put(newer, "a");
  f.access.requireRead(newer, readable); // of a watch
  const none = withRevision(0);
  fails("userEmpty", () => f.access.requireRange(none, readable));
  f.access.requireReads(none, newTxnRequest());
});

Deno.test("Access: a passed-on write is not made once its call is cancelled, any other is", () => {
  const f = new Fixture();
  const passedOn = newCall();
  f.access.vouch(passedOn, undefined);
  const own = newCall();
  const request = newPutRequest({ key: utf8("a") });
  const guards = [passedOn, own].map((call) => f.access.put(call, request));
  passedOn.isCancelled = own.isCancelled = true;
  fails("canceled", () => guards[0]!(UNCHANGED));
  guards[1]!(UNCHANGED);
});

function newCall(): Call & { isCancelled: boolean } {
  return {
    path: "/etcdserverpb.KV/Put",
    peer: "test",
    certificateName: undefined,
    metadata: () => undefined,
    deadlineMs: Infinity,
    isCancelled: false,
    signal: new AbortController().signal,
  };
}

function fails(kind: ErrorKind, act: () => void): void {
  assert.throws(act, (error: DomainError) => error.kind === kind);
}
