import type { AuthState } from "../auth/auth_state.ts";
import type { TokenOwner, TokenProvider } from "../auth/token_provider.ts";
import { EMPTY } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import type { WriteTx } from "../mvcc/write_batch.ts";
import type {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../pb/etcdserverpb.ts";
import type { Call } from "../transport/grpc/service.ts";

/** Who calls, while auth is on. */
export interface Caller {
  /** Empty: nobody logged in. */
  readonly name: string;
  /** The auth revision that what they showed holds for. */
  readonly revision: number;
}

/** Keys attached to leases: the lessor knows those that are committed, a batch those that it will leave. */
export interface LeaseKeys {
  keysOfLease(id: bigint): readonly Uint8Array[];
}

/**
 * Looked at when a write is evaluated, which may be after users and roles have changed, in the batch or before it.
 * Throws if the write must not be made.
 */
export type WriteGuard = (
  tx: Pick<WriteTx, "pendingState" | "keysOfLease">,
) => void;

const NOBODY = "";

/**
 * Who may do what: the only place that decides. Every handler asks here first; rules and errors are etcd's
 * (server/etcdserver/apply/auth.go, v3_server.go). Every part of a transaction is looked at, in both branches
 * and whatever their outcome, nested ones included.
 *
 * A token that takes time to verify (a JWT seen for the first time) is verified by `identify` before the handler
 * runs; handlers themselves never wait.
 */
export class Access {
  /** Owners of tokens that took time to verify. */
  readonly #owners = new WeakMap<Call, TokenOwner | "nobody">();
  /** Calls that another server passed on, and who it found calls; `off`: auth was off there. */
  readonly #vouched = new WeakMap<Call, Caller | "off">();
  /** Most servers never see such a call: asking the map costs more than all else. */
  #hasVouched = false;
  /** For writes that were asked for while auth was off. */
  readonly #stillOff: WriteGuard = () => {
    if (this.auth.isEnabled) throw new DomainError("userEmpty");
  };

  constructor(
    readonly auth: AuthState,
    readonly tokens: TokenProvider,
    readonly leases: LeaseKeys,
  ) {}

  /** Verifies a call's token if that takes time: the handler is to wait then. Never rejects. */
  identify(call: Call): Promise<void> | undefined {
    if (!this.auth.isEnabled || !this.tokens.mayWait) return undefined;
    const token = tokenOf(call);
    if (token === undefined) return undefined;
    const owner = this.tokens.verify(token);
    if (!(owner instanceof Promise)) return undefined;
    return owner.then((known) =>
      void this.#owners.set(call, known ?? "nobody")
    );
  }

  /**
   * Another server passed the call on, and has found out who calls; undefined: auth was off there. A write of such a
   * call is not made any more once the call is cancelled.
   */
  vouch(call: Call, caller: Caller | undefined): void {
    this.#hasVouched = true;
    this.#vouched.set(call, caller ?? "off");
  }

  /** Who calls; undefined while auth is off. Throws for a token that is not valid. */
  caller(call: Call): Caller | undefined {
    const { auth } = this;
    if (!auth.isEnabled) return undefined;
    const vouched = this.#vouchedFor(call);
    if (vouched === "off") throw new DomainError("userEmpty");
    if (vouched !== undefined) return vouched;
    const token = tokenOf(call);
    if (token === undefined) {
      return { name: call.certificateName ?? NOBODY, revision: auth.revision };
    }
    const known = this.#waitedFor(call) ?? this.tokens.verify(token);
    if (
      known === undefined || known === "nobody" || known instanceof Promise
    ) {
      throw new DomainError("invalidAuthToken");
    }
    return { name: known.user, revision: known.revision ?? auth.revision };
  }

  /** A token that is shown must be valid, even where nobody has to log in. */
  requireValidToken(call: Call): void {
    this.caller(call);
  }

  /** Any user. */
  requireLogin(call: Call): void {
    if (this.caller(call)?.name === NOBODY) throw new DomainError("userEmpty");
  }

  /** A user with the root role. */
  requireRoot(call: Call): void {
    const caller = this.caller(call);
    if (caller !== undefined) this.#requireRoot(caller);
  }

  /** Root, or the user itself. */
  requireRootOrSelf(call: Call, user: string): void {
    const caller = this.caller(call);
    if (caller === undefined || caller.name === user) return;
    this.#requireRoot(caller);
  }

  /** Root, or a user that has the role. */
  requireRootOrHolder(call: Call, role: string): void {
    const caller = this.caller(call);
    if (caller === undefined || this.auth.hasRole(caller.name, role)) return;
    this.#requireRoot(caller);
  }

  /** Range: a token of another auth revision will not do, be it older or newer; as etcd's doSerialize. */
  requireRange(
    call: Call,
    { key, rangeEnd }: Pick<RangeRequest, "key" | "rangeEnd">,
  ): void {
    const caller = this.caller(call);
    if (caller === undefined) return;
    this.#read(caller, key, rangeEnd);
    this.#requireCurrent(caller);
  }

  /** Watching `[key, rangeEnd)`. */
  requireRead(
    call: Call,
    { key, rangeEnd }: Pick<RangeRequest, "key" | "rangeEnd">,
  ): void {
    const caller = this.caller(call);
    if (caller !== undefined) this.#read(caller, key, rangeEnd);
  }

  /** A transaction that only reads: likewise, even if there is nothing in it. */
  requireReads(call: Call, request: TxnRequest): void {
    const caller = this.caller(call);
    if (caller === undefined) return;
    this.#txn(caller, request, this.leases);
    this.#requireCurrent(caller);
  }

  /** A change that only root may make. */
  root(call: Call): WriteGuard {
    const caller = this.caller(call);
    if (caller === undefined) return this.#stillOff;
    this.#requireRoot(caller);
    return (tx) => {
      if (this.auth.user(caller.name) === undefined) this.#requireRoot(caller);
      if (!this.auth.isRootIn(tx, caller.name)) {
        throw new DomainError("permissionDenied");
      }
    };
  }

  put(call: Call, request: PutRequest): WriteGuard {
    return this.#guard(
      call,
      (caller, leases) => this.#put(caller, request, leases),
    );
  }

  deleteRange(call: Call, request: DeleteRangeRequest): WriteGuard {
    return this.#guard(call, (caller) => this.#deleteRange(caller, request));
  }

  txn(call: Call, request: TxnRequest): WriteGuard {
    return this.#guard(
      call,
      (caller, leases) => this.#txn(caller, request, leases),
    );
  }

  /** Revoking a lease deletes its keys. */
  revokeLease(call: Call, id: bigint): WriteGuard {
    return this.#guard(call, (caller, leases) => {
      if (caller.name === NOBODY) throw new DomainError("userEmpty");
      this.#writeLease(caller, id, leases);
    });
  }

  /** Keeping a lease keeps its keys. */
  requireRenew(call: Call, id: bigint): void {
    const caller = this.caller(call);
    if (caller === undefined) return;
    if (caller.name === NOBODY) throw new DomainError("userEmpty");
    this.#writeLease(caller, id, this.leases);
  }

  /** Seeing which keys leases have, or which leases there are. */
  requireLeaseKeys(call: Call, ids: Iterable<bigint>): void {
    const caller = this.caller(call);
    if (caller === undefined) return;
    if (caller.name === NOBODY) throw new DomainError("userEmpty");
    if (this.auth.isRoot(caller.name)) return;
    for (const id of ids) {
      for (const key of this.leases.keysOfLease(id)) {
        this.#read(caller, key, EMPTY);
      }
    }
  }

  /** Fails if users or roles have changed since a read that had to wait began; as etcd's doSerialize. */
  requireUnchanged(authRevision: number): void {
    if (this.auth.isEnabled && this.auth.revision !== authRevision) {
      throw new DomainError("authOldRevision");
    }
  }

  /** Checks now, and again, with the leases as they are then, when the write is evaluated. */
  #guard(
    call: Call,
    check: (caller: Caller, leases: LeaseKeys) => void,
  ): WriteGuard {
    const guard = this.#evaluationGuard(call, check);
    if (this.#vouchedFor(call) === undefined) return guard;
    return (tx) => {
      if (call.isCancelled) throw new DomainError("canceled");
      guard(tx);
    };
  }

  #evaluationGuard(
    call: Call,
    check: (caller: Caller, leases: LeaseKeys) => void,
  ): WriteGuard {
    const caller = this.caller(call);
    if (caller === undefined) return this.#stillOff;
    check(caller, this.leases);
    return (tx) => {
      if (this.auth.isChangedIn(tx)) {
        throw new DomainError("authOldRevision");
      }
      if (this.auth.isEnabled) check(caller, tx);
    };
  }

  #vouchedFor(call: Call): Caller | "off" | undefined {
    return this.#hasVouched ? this.#vouched.get(call) : undefined;
  }

  #waitedFor(call: Call): TokenOwner | "nobody" | undefined {
    return this.tokens.mayWait ? this.#owners.get(call) : undefined;
  }

  #requireCurrent({ revision }: Caller): void {
    if (revision !== 0) this.requireUnchanged(revision);
  }

  #requireRoot(caller: Caller): void {
    if (caller.name === NOBODY) throw new DomainError("userEmpty");
    if (this.auth.user(caller.name) === undefined) {
      throw new DomainError("userNotFound");
    }
    if (!this.auth.isRoot(caller.name)) {
      throw new DomainError("permissionDenied");
    }
  }

  #put(
    caller: Caller,
    { key, lease, prevKv }: PutRequest,
    leases: LeaseKeys,
  ): void {
    this.#write(caller, key, EMPTY);
    // Who may not end the lease must not tie a key to it.
    if (lease !== 0n) this.#writeLease(caller, lease, leases);
    if (prevKv) this.#read(caller, key, EMPTY);
  }

  #deleteRange(caller: Caller, request: DeleteRangeRequest): void {
    const { key, rangeEnd, prevKv } = request;
    this.#write(caller, key, rangeEnd);
    if (prevKv) this.#read(caller, key, rangeEnd);
  }

  #txn(
    caller: Caller,
    { compare, success, failure }: TxnRequest,
    leases: LeaseKeys,
  ): void {
    for (const { key, rangeEnd } of compare) this.#read(caller, key, rangeEnd);
    for (const op of success) this.#op(caller, op, leases);
    for (const op of failure) this.#op(caller, op, leases);
  }

  #op(caller: Caller, op: RequestOp, leases: LeaseKeys): void {
    if (op.requestRange !== undefined) {
      this.#read(caller, op.requestRange.key, op.requestRange.rangeEnd);
    } else if (op.requestPut !== undefined) {
      this.#put(caller, op.requestPut, leases);
    } else if (op.requestDeleteRange !== undefined) {
      this.#deleteRange(caller, op.requestDeleteRange);
    } else if (op.requestTxn !== undefined) {
      this.#txn(caller, op.requestTxn, leases);
    }
  }

  #writeLease(caller: Caller, id: bigint, leases: LeaseKeys): void {
    if (this.auth.isRoot(caller.name)) return;
    for (const key of leases.keysOfLease(id)) this.#write(caller, key, EMPTY);
  }

  #read(caller: Caller, key: Uint8Array, rangeEnd: Uint8Array): void {
    const permissions = this.#permissions(caller);
    if (permissions !== undefined && !permissions.mayRead(key, rangeEnd)) {
      throw new DomainError("permissionDenied");
    }
  }

  #write(caller: Caller, key: Uint8Array, rangeEnd: Uint8Array): void {
    const permissions = this.#permissions(caller);
    if (permissions !== undefined && !permissions.mayWrite(key, rangeEnd)) {
      throw new DomainError("permissionDenied");
    }
  }

  /** Undefined: everything is allowed. */
  #permissions({ name, revision }: Caller) {
    // etcd takes revision 0 for nobody's.
    if (name === NOBODY || revision === 0) throw new DomainError("userEmpty");
    if (revision < this.auth.revision) throw new DomainError("authOldRevision");
    if (this.auth.isRoot(name)) return undefined;
    const permissions = this.auth.permissionsOf(name);
    if (permissions === undefined) throw new DomainError("permissionDenied");
    return permissions;
  }
}

const BEARER = "Bearer ";

function tokenOf(call: Call): string | undefined {
  const token = call.metadata("token") ?? call.metadata("authorization");
  return token?.startsWith(BEARER) ? token.slice(BEARER.length) : token;
}
