import { StateKind, type StateTable } from "../backend/state_change.ts";
import { assert } from "../base/assert.ts";
import { text } from "../base/bytes.ts";
import {
  decodeRole,
  decodeUser,
  type Permission,
  type Role,
  type User,
} from "../pb/authpb.ts";
import type { WriteTx } from "../mvcc/write_batch.ts";
import {
  readAuthKey,
  REVISION_KEY,
  sortNames,
  userKey,
} from "./auth_record.ts";
import { RangePermissions } from "./range_permissions.ts";

/** The user that administers: auth cannot be enabled without it. */
export const ROOT_USER = "root";
/** The role that may do everything; its key permissions are not looked at. */
export const ROOT_ROLE = "root";

/** What of a write's transaction tells of changes that are not applied yet. */
export type PendingAuth = Pick<WriteTx, "pendingState">;

/** What a user's tokens end with. */
export interface AuthListener {
  /** The user's password changed, or the user is gone. */
  credentialsChanged(user: string): void;
  /** Auth was disabled. */
  disabled(): void;
}

/**
 * Users, roles and whether they matter: a function of the log. Changes are made by `AuthChanges`.
 *
 * A user's permissions are merged when they are first asked for, and kept until any user or role changes.
 */
export class AuthState implements StateTable {
  readonly #users = new Map<string, User>();
  readonly #roles = new Map<string, Role>();
  readonly #permissions = new Map<string, RangePermissions>();
  readonly #listeners: AuthListener[] = [];
  #isEnabled = false;
  #revision = 1;

  get isEnabled(): boolean {
    return this.#isEnabled;
  }

  /** Grows with every change of users and roles; 1 at first. */
  get revision(): number {
    return this.#revision;
  }

  addListener(listener: AuthListener): void {
    this.#listeners.push(listener);
  }

  user(name: string): User | undefined {
    return this.#users.get(name);
  }

  role(name: string): Role | undefined {
    return this.#roles.get(name);
  }

  /** Sorted. */
  userNames(): string[] {
    return sortNames(this.#users.keys());
  }

  /** Sorted. */
  roleNames(): string[] {
    return sortNames(this.#roles.keys());
  }

  isRoot(user: string): boolean {
    return this.hasRole(user, ROOT_ROLE);
  }

  hasRole(user: string, role: string): boolean {
    return this.#users.get(user)?.roles.includes(role) ?? false;
  }

  /** Whether the batch under evaluation changes users or roles. */
  isChangedIn(tx: PendingAuth): boolean {
    return tx.pendingState(StateKind.Auth, REVISION_KEY) !== null;
  }

  /** Whether a user has the root role, the batch under evaluation included. */
  isRootIn(tx: PendingAuth, name: string): boolean {
    const pending = tx.pendingState(StateKind.Auth, userKey(name));
    if (pending === null) return this.isRoot(name);
    return pending !== undefined &&
      decodeUser(pending).roles.includes(ROOT_ROLE);
  }

  /** What a user's roles allow, other than the root role; undefined if there is no such user. */
  permissionsOf(name: string): RangePermissions | undefined {
    const known = this.#permissions.get(name);
    if (known !== undefined) return known;
    const user = this.#users.get(name);
    if (user === undefined) return undefined;
    const merged = new RangePermissions(this.#granted(user));
    this.#permissions.set(name, merged);
    return merged;
  }

  apply(key: Uint8Array, value: Uint8Array | undefined): void {
    const record = readAuthKey(key);
    if (record === undefined) return;
    this.#permissions.clear();
    switch (record.kind) {
      case "enabled":
        this.#isEnabled = value !== undefined;
        if (value === undefined) this.#listeners.forEach((l) => l.disabled());
        break;
      case "revision":
        this.#revision = value === undefined ? 1 : Number(text(value));
        assert(
          Number.isSafeInteger(this.#revision),
          "the auth revision is an integer",
        );
        break;
      case "user":
        this.#applyUser(record.name, value);
        break;
      case "role":
        if (value === undefined) this.#roles.delete(record.name);
        else this.#roles.set(record.name, decodeRole(value.slice()));
        break;
    }
  }

  #applyUser(name: string, value: Uint8Array | undefined): void {
    const before = this.#users.get(name);
    const user = value === undefined ? undefined : decodeUser(value.slice());
    if (user === undefined) this.#users.delete(name);
    else this.#users.set(name, user);
    if (
      before !== undefined &&
      (user === undefined || text(before.password) !== text(user.password))
    ) {
      this.#listeners.forEach((l) => l.credentialsChanged(name));
    }
  }

  *#granted(user: User): Iterable<Permission> {
    for (const name of user.roles) {
      yield* this.#roles.get(name)?.keyPermission ?? [];
    }
  }
}
