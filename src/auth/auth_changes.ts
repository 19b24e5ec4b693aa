import { StateKind } from "../backend/state_change.ts";
import { compareBytes, equalBytes, text, utf8 } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import type { WriteTx } from "../mvcc/write_batch.ts";
import {
  decodeRole,
  decodeUser,
  encodeRole,
  encodeUser,
  newPermission,
  newRole,
  newUser,
  newUserAddOptions,
  type Permission,
  type Role,
  type User,
} from "../pb/authpb.ts";
import {
  ENABLED_KEY,
  readAuthKey,
  REVISION_KEY,
  roleKey,
  sortNames,
  userKey,
} from "./auth_record.ts";
import { type AuthState, ROOT_ROLE, ROOT_USER } from "./auth_state.ts";
import { isPermissionRange } from "./range_permissions.ts";

/** What of a write's transaction is needed here. */
export type AuthTx = Pick<
  WriteTx,
  "putState" | "pendingState" | "pendingStateKeys"
>;

/** What tells a role's permissions apart. */
type PermissionRange = Pick<Permission, "key" | "rangeEnd">;

/**
 * The changes that administrators make, each evaluated inside a write, on top of those before it in the same
 * batch. Rules and errors are etcd's (server/auth/store.go). Every change but enabling moves the auth revision.
 */
export class AuthChanges {
  constructor(readonly state: AuthState) {}

  enable(tx: AuthTx): void {
    if (this.#isEnabled(tx)) return;
    const root = this.#user(tx, ROOT_USER);
    if (root === undefined) throw new DomainError("rootUserNotExist");
    if (!root.roles.includes(ROOT_ROLE)) {
      throw new DomainError("rootRoleNotExist");
    }
    tx.putState(StateKind.Auth, ENABLED_KEY, utf8("1"));
  }

  disable(tx: AuthTx): void {
    if (!this.#isEnabled(tx)) return;
    tx.putState(StateKind.Auth, ENABLED_KEY, undefined);
    this.#bumpRevision(tx);
  }

  /** `passwordHash` is empty for a user that logs in with certificates alone. */
  addUser(
    tx: AuthTx,
    name: string,
    { passwordHash, noPassword }: {
      readonly passwordHash: string;
      readonly noPassword: boolean;
    },
  ): void {
    if (name === "") throw new DomainError("userEmpty");
    if (this.#user(tx, name) !== undefined) {
      throw new DomainError("userAlreadyExists");
    }
    this.#putUser(
      tx,
      newUser({
        name: utf8(name),
        password: utf8(passwordHash),
        options: newUserAddOptions({ noPassword }),
      }),
    );
    this.#bumpRevision(tx);
  }

  deleteUser(tx: AuthTx, name: string): void {
    if (name === ROOT_USER && this.#isEnabled(tx)) {
      throw new DomainError("invalidAuthManagement");
    }
    this.#requireUser(tx, name);
    tx.putState(StateKind.Auth, userKey(name), undefined);
    this.#bumpRevision(tx);
  }

  /** Without a hash: what the client gave for one cannot be read. A user without a password keeps none. */
  changePassword(
    tx: AuthTx,
    name: string,
    passwordHash: string | undefined,
  ): void {
    const user = this.#requireUser(tx, name);
    const hash = user.options?.noPassword ? "" : passwordHash;
    // etcd answers so, though it is not what happened.
    if (hash === undefined) throw new DomainError("noPasswordUser");
    this.#putUser(tx, { ...user, password: utf8(hash) });
    this.#bumpRevision(tx);
  }

  /** A role that the user has already is granted again without a change. */
  grantRole(tx: AuthTx, name: string, role: string): void {
    const user = this.#requireUser(tx, name);
    if (role !== ROOT_ROLE) this.#requireRole(tx, role);
    if (user.roles.includes(role)) return;
    this.#putUser(tx, { ...user, roles: sortNames([...user.roles, role]) });
    this.#bumpRevision(tx);
  }

  revokeRole(tx: AuthTx, name: string, role: string): void {
    if (name === ROOT_USER && role === ROOT_ROLE && this.#isEnabled(tx)) {
      throw new DomainError("invalidAuthManagement");
    }
    const user = this.#requireUser(tx, name);
    if (!user.roles.includes(role)) throw new DomainError("roleNotGranted");
    this.#putUser(tx, withoutRole(user, role));
    this.#bumpRevision(tx);
  }

  addRole(tx: AuthTx, name: string): void {
    if (name === "") throw new DomainError("roleEmpty");
    if (this.#role(tx, name) !== undefined) {
      throw new DomainError("roleAlreadyExists");
    }
    this.#putRole(tx, newRole({ name: utf8(name) }));
    this.#bumpRevision(tx);
  }

  /** Takes the role from its users, too. */
  deleteRole(tx: AuthTx, name: string): void {
    if (name === ROOT_ROLE && this.#isEnabled(tx)) {
      throw new DomainError("invalidAuthManagement");
    }
    this.#requireRole(tx, name);
    tx.putState(StateKind.Auth, roleKey(name), undefined);
    for (const user of this.#users(tx)) {
      if (user.roles.includes(name)) this.#putUser(tx, withoutRole(user, name));
    }
    this.#bumpRevision(tx);
  }

  /** Replaces the role's permission for the same range. */
  grantPermission(
    tx: AuthTx,
    name: string,
    permission: Permission | undefined,
  ): void {
    if (permission === undefined) throw new DomainError("permissionNotGiven");
    const { permType, key, rangeEnd } = permission;
    if (!isPermissionRange(key, rangeEnd)) {
      throw new DomainError("invalidAuthManagement");
    }
    const role = this.#requireRole(tx, name);
    const granted = newPermission({ permType, key, rangeEnd });
    const keyPermission = [...role.keyPermission];
    const at = keyPermission.findIndex((p) => isOfRange(p, granted));
    if (at >= 0) keyPermission[at] = granted;
    else keyPermission.push(granted);
    // By key alone: those of the same key stay in the order in which they were granted, as in etcd.
    keyPermission.sort((a, b) => compareBytes(a.key, b.key));
    this.#putRole(tx, { ...role, keyPermission });
    this.#bumpRevision(tx);
  }

  revokePermission(
    tx: AuthTx,
    name: string,
    range: PermissionRange,
  ): void {
    const role = this.#requireRole(tx, name);
    const keyPermission = role.keyPermission.filter((p) =>
      !isOfRange(p, range)
    );
    if (keyPermission.length === role.keyPermission.length) {
      throw new DomainError("permissionNotGranted");
    }
    this.#putRole(tx, { ...role, keyPermission });
    this.#bumpRevision(tx);
  }

  #isEnabled(tx: AuthTx): boolean {
    const pending = tx.pendingState(StateKind.Auth, ENABLED_KEY);
    return pending === null ? this.state.isEnabled : pending !== undefined;
  }

  #user(tx: AuthTx, name: string): User | undefined {
    const pending = tx.pendingState(StateKind.Auth, userKey(name));
    if (pending === null) return this.state.user(name);
    return pending && decodeUser(pending);
  }

  #role(tx: AuthTx, name: string): Role | undefined {
    const pending = tx.pendingState(StateKind.Auth, roleKey(name));
    if (pending === null) return this.state.role(name);
    return pending && decodeRole(pending);
  }

  /** All users, those of this batch included. */
  *#users(tx: AuthTx): Iterable<User> {
    const names = new Set(this.state.userNames());
    for (const key of tx.pendingStateKeys(StateKind.Auth)) {
      const record = readAuthKey(key);
      if (record?.kind === "user") names.add(record.name);
    }
    for (const name of names) {
      const user = this.#user(tx, name);
      if (user !== undefined) yield user;
    }
  }

  #requireUser(tx: AuthTx, name: string): User {
    const user = this.#user(tx, name);
    if (user === undefined) throw new DomainError("userNotFound");
    return user;
  }

  #requireRole(tx: AuthTx, name: string): Role {
    const role = this.#role(tx, name);
    if (role === undefined) throw new DomainError("roleNotFound");
    return role;
  }

  #putUser(tx: AuthTx, user: User): void {
    tx.putState(StateKind.Auth, userKey(text(user.name)), encodeUser(user));
  }

  #putRole(tx: AuthTx, role: Role): void {
    tx.putState(StateKind.Auth, roleKey(text(role.name)), encodeRole(role));
  }

  #bumpRevision(tx: AuthTx): void {
    const pending = tx.pendingState(StateKind.Auth, REVISION_KEY);
    const revision = pending ? Number(text(pending)) : this.state.revision;
    tx.putState(StateKind.Auth, REVISION_KEY, utf8(String(revision + 1)));
  }
}

function isOfRange(a: PermissionRange, b: PermissionRange): boolean {
  return equalBytes(a.key, b.key) && equalBytes(a.rangeEnd, b.rangeEnd);
}

function withoutRole(user: User, role: string): User {
  return { ...user, roles: user.roles.filter((r) => r !== role) };
}
