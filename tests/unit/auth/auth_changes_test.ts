import assert from "node:assert/strict";
import { AuthChanges, type AuthTx } from "../../../src/auth/auth_changes.ts";
import { AuthState } from "../../../src/auth/auth_state.ts";
import type { StateKind } from "../../../src/backend/state_change.ts";
import { text, utf8 } from "../../../src/base/bytes.ts";
import type { DomainError, ErrorKind } from "../../../src/base/errors.ts";
import {
  newPermission,
  Permission_Type as Type,
} from "../../../src/pb/authpb.ts";

/** A batch of changes that are applied at its end. */
class Batch implements AuthTx {
  readonly pending = new Map<string, Uint8Array | undefined>();

  putState(_: StateKind, key: Uint8Array, value: Uint8Array | undefined): void {
    this.pending.set(text(key), value);
  }

  pendingState(_: StateKind, key: Uint8Array): Uint8Array | undefined | null {
    const name = text(key);
    return this.pending.has(name) ? this.pending.get(name) : null;
  }

  *pendingStateKeys(): Iterable<Uint8Array> {
    for (const name of this.pending.keys()) yield utf8(name);
  }
}

class Fixture {
  readonly auth = new AuthState();
  readonly changes = new AuthChanges(this.auth);

  /** One batch. */
  apply(...evaluate: ((c: AuthChanges, tx: Batch) => void)[]): void {
    const tx = new Batch();
    for (const each of evaluate) each(this.changes, tx);
    for (const [key, value] of tx.pending) this.auth.apply(utf8(key), value);
  }

  fails(kind: ErrorKind, evaluate: (c: AuthChanges, tx: Batch) => void): void {
    const tx = new Batch();
    assert.throws(
      () => evaluate(this.changes, tx),
      (e: DomainError) => e.kind === kind,
    );
    assert.equal(tx.pending.size, 0, "a change that fails changes nothing");
  }

  withRoot(): this {
    this.apply(
      (c, tx) =>
        c.addUser(tx, "root", { passwordHash: "h", noPassword: false }),
      (c, tx) => c.grantRole(tx, "root", "root"),
    );
    return this;
  }
}

const USER = { passwordHash: "hash", noPassword: false };
const PERMISSION = newPermission({
  permType: Type.READ,
  key: utf8("k"),
  rangeEnd: utf8("l"),
});

Deno.test("AuthChanges.enable() needs the root user with the root role", () => {
  const f = new Fixture();
  f.fails("rootUserNotExist", (c, tx) => c.enable(tx));
  f.apply((c, tx) => c.addUser(tx, "root", USER));
  f.fails("rootRoleNotExist", (c, tx) => c.enable(tx));
  f.apply((c, tx) => c.grantRole(tx, "root", "root"));
  const { revision } = f.auth;
  f.apply((c, tx) => c.enable(tx));
  assert.equal(f.auth.isEnabled, true);
  assert.equal(
    f.auth.revision,
    revision,
    "enabling is no change of users or roles",
  );
  f.apply((c, tx) => c.enable(tx));
  f.apply((c, tx) => c.disable(tx));
  assert.equal(f.auth.isEnabled, false);
  assert.equal(f.auth.revision, revision + 1);
  f.apply((c, tx) => c.disable(tx));
  assert.equal(
    f.auth.revision,
    revision + 1,
    "disabling twice changes nothing",
  );
});

Deno.test("AuthChanges moves the auth revision by one for each change, in one batch or in several", () => {
  const f = new Fixture();
  assert.equal(f.auth.revision, 1);
  f.apply((c, tx) => c.addUser(tx, "a", USER), (c, tx) => c.addRole(tx, "r"));
  assert.equal(f.auth.revision, 3);
  f.apply((c, tx) => c.grantRole(tx, "a", "r"));
  assert.equal(f.auth.revision, 4);
  f.apply((c, tx) => c.grantRole(tx, "a", "r"));
  assert.equal(f.auth.revision, 4, "a role that is held already");
});

Deno.test("AuthChanges refuses what is not there, what is there already, and what has no name", () => {
  const f = new Fixture();
  f.apply((c, tx) => c.addUser(tx, "a", USER), (c, tx) => c.addRole(tx, "r"));
  f.fails("userEmpty", (c, tx) => c.addUser(tx, "", USER));
  f.fails("userAlreadyExists", (c, tx) => c.addUser(tx, "a", USER));
  f.fails("userNotFound", (c, tx) => c.deleteUser(tx, "b"));
  f.fails("userNotFound", (c, tx) => c.changePassword(tx, "b", "h"));
  f.fails("userNotFound", (c, tx) => c.grantRole(tx, "b", "r"));
  f.fails("userNotFound", (c, tx) => c.revokeRole(tx, "b", "r"));
  f.fails("roleNotFound", (c, tx) => c.grantRole(tx, "a", "s"));
  f.fails("roleNotGranted", (c, tx) => c.revokeRole(tx, "a", "r"));
  f.fails("roleEmpty", (c, tx) => c.addRole(tx, ""));
  f.fails("roleAlreadyExists", (c, tx) => c.addRole(tx, "r"));
  f.fails("roleNotFound", (c, tx) => c.deleteRole(tx, "s"));
  f.fails("roleNotFound", (c, tx) => c.grantPermission(tx, "s", PERMISSION));
  f.fails("roleNotFound", (c, tx) => c.revokePermission(tx, "s", PERMISSION));
  f.fails(
    "permissionNotGranted",
    (c, tx) => c.revokePermission(tx, "r", PERMISSION),
  );
  f.fails(
    "permissionNotGiven",
    (c, tx) => c.grantPermission(tx, "r", undefined),
  );
  f.fails(
    "invalidAuthManagement",
    (c, tx) =>
      c.grantPermission(
        tx,
        "r",
        newPermission({ key: utf8("b"), rangeEnd: utf8("a") }),
      ),
  );
});

Deno.test("AuthChanges sees the changes before it in the same batch", () => {
  const f = new Fixture();
  f.apply(
    (c, tx) => c.addUser(tx, "a", USER),
    (c, tx) => c.addRole(tx, "r"),
    (c, tx) => c.grantRole(tx, "a", "r"),
    (c, tx) => c.grantPermission(tx, "r", PERMISSION),
    (c, tx) => assert.throws(() => c.addUser(tx, "a", USER)),
  );
  assert.equal(f.auth.permissionsOf("a")!.mayRead(utf8("k"), utf8("l")), true);
  f.apply(
    (c, tx) => c.addUser(tx, "b", USER),
    (c, tx) => c.grantRole(tx, "b", "r"),
    (c, tx) => c.deleteRole(tx, "r"),
    (c, tx) => c.addRole(tx, "r"),
    (c, tx) => c.grantPermission(tx, "r", PERMISSION),
  );
  for (const name of ["a", "b"]) {
    assert.deepEqual(
      f.auth.user(name)!.roles,
      [],
      `${name} lost the role that was deleted`,
    );
    assert.equal(
      f.auth.permissionsOf(name)!.mayRead(utf8("k"), utf8("")),
      false,
    );
  }
});

Deno.test("AuthChanges keeps root's way in while auth is on", () => {
  const f = new Fixture().withRoot();
  f.apply((c, tx) => c.enable(tx));
  f.fails("invalidAuthManagement", (c, tx) => c.deleteUser(tx, "root"));
  f.fails("invalidAuthManagement", (c, tx) => c.revokeRole(tx, "root", "root"));
  f.fails("invalidAuthManagement", (c, tx) => c.deleteRole(tx, "root"));
  f.apply((c, tx) => c.disable(tx));
  f.apply(
    (c, tx) => c.revokeRole(tx, "root", "root"),
    (c, tx) => c.deleteUser(tx, "root"),
  );
  assert.equal(f.auth.user("root"), undefined);
});

Deno.test("AuthChanges.grantPermission() replaces the type for the same range, and keeps the list sorted by key", () => {
  const f = new Fixture();
  const grant = (permType: Type, key: string, end: string) =>
    f.apply((c, tx) =>
      c.grantPermission(
        tx,
        "r",
        newPermission({ permType, key: utf8(key), rangeEnd: utf8(end) }),
      )
    );
  f.apply((c, tx) => c.addRole(tx, "r"));
  grant(Type.READ, "m", "");
  grant(Type.READ, "b", "d");
  grant(Type.READ, "b", "");
  grant(Type.WRITE, "b", "d");
  assert.deepEqual(
    f.auth.role("r")!.keyPermission.map((
      p,
    ) => [text(p.key), text(p.rangeEnd), p.permType]),
    [["b", "d", Type.WRITE], ["b", "", Type.READ], ["m", "", Type.READ]],
  );
});

Deno.test("AuthState tells when a user's credentials are no good any more", () => {
  const f = new Fixture().withRoot();
  const told: string[] = [];
  f.auth.addListener({
    credentialsChanged: (user) => told.push(user),
    disabled: () => told.push("*"),
  });
  f.apply((c, tx) => c.addUser(tx, "a", USER), (c, tx) => c.addRole(tx, "r"));
  f.apply((c, tx) => c.grantRole(tx, "a", "r"));
  assert.deepEqual(told, []);
  f.apply((c, tx) => c.changePassword(tx, "a", "other"));
  f.apply((c, tx) => c.deleteUser(tx, "a"));
  f.apply((c, tx) => c.enable(tx));
  f.apply((c, tx) => c.disable(tx));
  assert.deepEqual(told, ["a", "a", "*"]);
});

Deno.test("AuthChanges.changePassword() gives no password to a user that is to have none", () => {
  const f = new Fixture();
  f.apply((c, tx) =>
    c.addUser(tx, "cert", { passwordHash: "", noPassword: true })
  );
  f.apply((c, tx) => c.changePassword(tx, "cert", "hash"));
  assert.equal(f.auth.user("cert")!.password.length, 0);
});

Deno.test("AuthChanges.changePassword() needs a hash that can be read, but from a user without a password", () => {
  const f = new Fixture();
  f.fails("userNotFound", (c, tx) => c.changePassword(tx, "a", undefined));
  f.apply(
    (c, tx) => c.addUser(tx, "a", USER),
    (c, tx) => c.addUser(tx, "cert", { passwordHash: "", noPassword: true }),
  );
  f.fails("noPasswordUser", (c, tx) => c.changePassword(tx, "a", undefined));
  f.apply((c, tx) => c.changePassword(tx, "cert", undefined));
  assert.equal(f.auth.revision, 4);
});

Deno.test("AuthState names users and roles in the order of their bytes", () => {
  const f = new Fixture();
  const sorted = ["Z", "a", "\u00e9", "\ufffd", "\u{1f600}"];
  f.apply((c, tx) => c.addUser(tx, "user", USER));
  for (const name of [...sorted].reverse()) {
    f.apply(
      (c, tx) => c.addUser(tx, name, USER),
      (c, tx) => c.addRole(tx, name),
      (c, tx) => c.grantRole(tx, "user", name),
    );
  }
  assert.deepEqual(f.auth.roleNames(), sorted);
  assert.deepEqual(f.auth.user("user")!.roles, sorted);
  assert.deepEqual(
    f.auth.userNames(),
    ["Z", "a", "user", "\u00e9", "\ufffd", "\u{1f600}"],
  );
});
