import { AuthChanges, type AuthTx } from "../auth/auth_changes.ts";
import type { AuthState } from "../auth/auth_state.ts";
import { isTooLong } from "../auth/passwords.ts";
import type { TokenProvider } from "../auth/token_provider.ts";
import { EMPTY, text } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { WriteTx } from "../mvcc/write_batch.ts";
import type { Written } from "../mvcc/write_queue.ts";
import {
  newPermission,
  type Permission,
  Permission_Type as PermissionType,
} from "../pb/authpb.ts";
import {
  type AuthenticateRequest,
  type AuthenticateResponse,
  type AuthRoleAddRequest,
  type AuthRoleDeleteRequest,
  type AuthRoleGetRequest,
  type AuthRoleGetResponse,
  type AuthRoleGrantPermissionRequest,
  type AuthRoleListResponse,
  type AuthRoleRevokePermissionRequest,
  AuthService,
  type AuthStatusResponse,
  type AuthUserAddRequest,
  type AuthUserChangePasswordRequest,
  type AuthUserDeleteRequest,
  type AuthUserGetRequest,
  type AuthUserGetResponse,
  type AuthUserGrantRoleRequest,
  type AuthUserListResponse,
  type AuthUserRevokeRoleRequest,
  newAuthenticateResponse,
  newAuthRoleGetResponse,
  newAuthRoleListResponse,
  newAuthStatusResponse,
  newAuthUserGetResponse,
  newAuthUserListResponse,
} from "../pb/etcdserverpb.ts";
import type { Call, Method } from "../transport/grpc/service.ts";
import type { Access } from "./access.ts";
import type { HeaderSource } from "./header.ts";

/** Hashes passwords, off this thread. */
export interface PasswordHasher {
  hash(password: string): Promise<string>;
  /** Without a hash: false, after as long as it would have taken. */
  verify(password: string, hash: string | undefined): Promise<boolean>;
}

/** What auth needs of the store. */
export interface AuthStore {
  readonly currentRevision: number;
  write<T>(evaluate: (tx: WriteTx) => T): Promise<Written<T>>;
}

/** The answer of every change: a header and nothing else. */
interface Headed {
  header: Uint8Array | undefined;
}

/** The root role's permission, which no record has: every key, read and write. */
const EVERYTHING: Permission = newPermission({
  permType: PermissionType.READWRITE,
  key: EMPTY,
  rangeEnd: Uint8Array.of(0),
});

/** etcdserverpb.Auth. Nothing here is logged but names. */
export class AuthHandlers {
  readonly #changes: AuthChanges;

  constructor(
    readonly auth: AuthState,
    readonly access: Access,
    readonly passwords: PasswordHasher,
    readonly tokens: TokenProvider,
    readonly store: AuthStore,
    readonly header: Pick<HeaderSource, "at">,
    readonly log: Logger,
  ) {
    this.#changes = new AuthChanges(auth);
  }

  /** The methods to register. */
  methods(): Method[] {
    const m = AuthService.methods;
    const c = this.#changes;
    return [
      {
        ...m.authEnable,
        kind: "unary",
        handle: (_, call) =>
          this.#change(call, "auth enabled", {}, (tx) => c.enable(tx)),
      },
      {
        ...m.authDisable,
        kind: "unary",
        handle: (_, call) =>
          this.#change(call, "auth disabled", {}, (tx) => c.disable(tx)),
      },
      {
        ...m.authStatus,
        kind: "unary",
        handle: (_, call) => this.status(call),
      },
      {
        ...m.authenticate,
        kind: "unary",
        handle: (r: AuthenticateRequest) => this.authenticate(r),
      },
      {
        ...m.userAdd,
        kind: "unary",
        handle: (r: AuthUserAddRequest, call) => this.addUser(r, call),
      },
      {
        ...m.userGet,
        kind: "unary",
        handle: (r: AuthUserGetRequest, call) => this.getUser(r, call),
      },
      {
        ...m.userList,
        kind: "unary",
        handle: (_, call) => this.listUsers(call),
      },
      {
        ...m.userDelete,
        kind: "unary",
        handle: ({ name }: AuthUserDeleteRequest, call) =>
          this.#change(
            call,
            "user deleted",
            { user: name },
            (tx) => c.deleteUser(tx, name),
          ),
      },
      {
        ...m.userChangePassword,
        kind: "unary",
        handle: (r: AuthUserChangePasswordRequest, call) =>
          this.changePassword(r, call),
      },
      {
        ...m.userGrantRole,
        kind: "unary",
        handle: ({ user, role }: AuthUserGrantRoleRequest, call) =>
          this.#change(
            call,
            "role granted to user",
            { user, role },
            (tx) => c.grantRole(tx, user, role),
          ),
      },
      {
        ...m.userRevokeRole,
        kind: "unary",
        handle: ({ name, role }: AuthUserRevokeRoleRequest, call) =>
          this.#change(
            call,
            "role revoked from user",
            { user: name, role },
            (tx) => c.revokeRole(tx, name, role),
          ),
      },
      {
        ...m.roleAdd,
        kind: "unary",
        handle: ({ name }: AuthRoleAddRequest, call) =>
          this.#change(
            call,
            "role added",
            { role: name },
            (tx) => c.addRole(tx, name),
          ),
      },
      {
        ...m.roleGet,
        kind: "unary",
        handle: (r: AuthRoleGetRequest, call) => this.getRole(r, call),
      },
      {
        ...m.roleList,
        kind: "unary",
        handle: (_, call) => this.listRoles(call),
      },
      {
        ...m.roleDelete,
        kind: "unary",
        handle: ({ role }: AuthRoleDeleteRequest, call) =>
          this.#change(
            call,
            "role deleted",
            { role },
            (tx) => c.deleteRole(tx, role),
          ),
      },
      {
        ...m.roleGrantPermission,
        kind: "unary",
        handle: ({ name, perm }: AuthRoleGrantPermissionRequest, call) =>
          this.#change(
            call,
            "permission granted to role",
            { role: name },
            (tx) => c.grantPermission(tx, name, perm),
          ),
      },
      {
        ...m.roleRevokePermission,
        kind: "unary",
        handle: (r: AuthRoleRevokePermissionRequest, call) =>
          this.#change(
            call,
            "permission revoked from role",
            { role: r.role },
            (tx) => c.revokePermission(tx, r.role, r),
          ),
      },
    ];
  }

  /** Needs no login. */
  status(call: Call): AuthStatusResponse {
    this.access.requireValidToken(call);
    return newAuthStatusResponse({
      header: this.#header(),
      enabled: this.auth.isEnabled,
      authRevision: this.auth.revision,
    });
  }

  /** A token for a name and a password. Unknown names take as long as wrong passwords. */
  async authenticate(
    { name, password }: AuthenticateRequest,
  ): Promise<AuthenticateResponse> {
    for (;;) {
      if (!this.auth.isEnabled) throw new DomainError("authNotEnabled");
      const user = this.auth.user(name);
      if (user?.options?.noPassword) throw new DomainError("noPasswordUser");
      const hash = user && text(user.password);
      const isRight = await this.passwords.verify(password, hash);
      if (!isRight) {
        this.log.warn("authentication failed", { user: name });
        throw new DomainError("authFailed");
      }
      // The password may have been changed meanwhile, or the user deleted.
      const now = this.auth.user(name);
      if (now === undefined || text(now.password) !== hash) continue;
      if (!this.auth.isEnabled) continue;
      const token = await this.tokens.assign(name, this.auth.revision);
      return newAuthenticateResponse({ header: this.#header(), token });
    }
  }

  async addUser(request: AuthUserAddRequest, call: Call): Promise<Headed> {
    const { name, password } = request;
    const noPassword = request.options?.noPassword ?? false;
    if (!noPassword) requireHashable(password);
    this.access.requireRoot(call);
    // Cheap checks first: a hash takes long.
    if (name === "") throw new DomainError("userEmpty");
    const passwordHash = noPassword ? "" : await this.passwords.hash(password);
    return await this.#change(
      call,
      "user added",
      { user: name },
      (tx) => this.#changes.addUser(tx, name, { passwordHash, noPassword }),
    );
  }

  /** A hash may be given instead of the password, in base64; as etcd takes it. */
  async changePassword(
    request: AuthUserChangePasswordRequest,
    call: Call,
  ): Promise<Headed> {
    const { name, password, hashedPassword } = request;
    requireHashable(password);
    this.access.requireRoot(call);
    const passwordHash = password === ""
      ? decodeHash(hashedPassword)
      : await this.passwords.hash(password);
    return await this.#change(
      call,
      "password changed",
      { user: name },
      (tx) => this.#changes.changePassword(tx, name, passwordHash),
    );
  }

  getUser({ name }: AuthUserGetRequest, call: Call): AuthUserGetResponse {
    this.access.requireRootOrSelf(call, name);
    const user = this.auth.user(name);
    if (user === undefined) throw new DomainError("userNotFound");
    return newAuthUserGetResponse({
      header: this.#header(),
      roles: [...user.roles],
    });
  }

  listUsers(call: Call): AuthUserListResponse {
    this.access.requireRoot(call);
    return newAuthUserListResponse({
      header: this.#header(),
      users: this.auth.userNames(),
    });
  }

  getRole({ role: name }: AuthRoleGetRequest, call: Call): AuthRoleGetResponse {
    this.access.requireRootOrHolder(call, name);
    const role = this.auth.role(name);
    if (role === undefined) throw new DomainError("roleNotFound");
    return newAuthRoleGetResponse({
      header: this.#header(),
      perm: name === "root" ? [EVERYTHING] : [...role.keyPermission],
    });
  }

  listRoles(call: Call): AuthRoleListResponse {
    this.access.requireRoot(call);
    return newAuthRoleListResponse({
      header: this.#header(),
      roles: this.auth.roleNames(),
    });
  }

  async #change(
    call: Call,
    event: string,
    fields: Readonly<Record<string, string>>,
    evaluate: (tx: AuthTx) => void,
  ): Promise<Headed> {
    const guard = this.access.root(call);
    const { revision } = await this.store.write((tx) => {
      guard(tx);
      evaluate(tx);
    });
    this.log.info(event, fields);
    return { header: this.header.at(revision) };
  }

  #header(): Uint8Array {
    return this.header.at(this.store.currentRevision);
  }
}

/** etcd finds out before it asks who calls. */
function requireHashable(password: string): void {
  if (isTooLong(password)) throw new DomainError("passwordTooLong");
}

/** Undefined for what Go does not read as base64. */
function decodeHash(base64: string): string | undefined {
  const digits = base64.replace(/[\r\n]/g, "");
  return BASE64.test(digits) ? atob(digits) : undefined;
}

const BASE64 =
  /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
