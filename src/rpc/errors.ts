import type { ErrorKind } from "../base/errors.ts";
import { DomainError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { WireError } from "../pb/wire.ts";
import type { ErrorMapper } from "../transport/grpc/service.ts";
import { Code, type Status, StatusError } from "../transport/grpc/status.ts";

/**
 * etcd's code and message for each kind of failure, word for word: clients compare texts
 * (etcd, api/v3rpc/rpctypes/error.go).
 */
export const STATUS: Readonly<Record<ErrorKind, Status>> = {
  emptyKey: etcd(Code.InvalidArgument, "key is not provided"),
  keyNotFound: etcd(Code.InvalidArgument, "key not found"),
  valueProvided: etcd(Code.InvalidArgument, "value is provided"),
  leaseProvided: etcd(Code.InvalidArgument, "lease is provided"),
  tooManyOps: etcd(Code.InvalidArgument, "too many operations in txn request"),
  duplicateKey: etcd(
    Code.InvalidArgument,
    "duplicate key given in txn request",
  ),
  invalidSortOption: etcd(Code.InvalidArgument, "invalid sort option"),
  invalidClientApiVersion: etcd(
    Code.InvalidArgument,
    "invalid client api version",
  ),
  requestTooLarge: etcd(Code.InvalidArgument, "request is too large"),
  compacted: etcd(
    Code.OutOfRange,
    "mvcc: required revision has been compacted",
  ),
  futureRevision: etcd(
    Code.OutOfRange,
    "mvcc: required revision is a future revision",
  ),
  noSpace: etcd(Code.ResourceExhausted, "mvcc: database space exceeded"),
  corrupt: etcd(Code.DataLoss, "corrupt cluster"),
  leaseNotFound: etcd(Code.NotFound, "requested lease not found"),
  leaseExists: etcd(Code.FailedPrecondition, "lease already exists"),
  leaseTtlTooLarge: etcd(Code.OutOfRange, "too large lease TTL"),
  memberNotFound: etcd(Code.NotFound, "member not found"),
  memberNotLearner: etcd(
    Code.FailedPrecondition,
    "can only promote a learner member",
  ),
  // etcd's table has the client's error here, which has no code on the wire.
  memberNotEnoughStarted: etcd(
    Code.Unknown,
    "re-configuration failed due to not enough started members",
  ),
  memberExists: etcd(Code.FailedPrecondition, "member ID already exist"),
  peerUrlExists: etcd(Code.FailedPrecondition, "Peer URLs already exists"),
  memberBadUrls: etcd(Code.InvalidArgument, "given member URLs are invalid"),
  tooManyRequests: etcd(Code.ResourceExhausted, "too many requests"),
  noLeader: etcd(Code.Unavailable, "no leader"),
  notLeader: etcd(Code.FailedPrecondition, "not leader"),
  badLeaderTransferee: etcd(Code.FailedPrecondition, "bad leader transferee"),
  stopped: etcd(Code.Unavailable, "server stopped"),
  timeout: etcd(Code.Unavailable, "request timed out"),
  timeoutLeaderFail: etcd(
    Code.Unavailable,
    "request timed out, possibly due to previous leader failure",
  ),
  timeoutConnectionLost: etcd(
    Code.Unavailable,
    "request timed out, possibly due to connection lost",
  ),
  canceled: etcd(Code.Canceled, "request canceled"),
  watchCanceled: etcd(Code.Canceled, "watch canceled"),
  deadlineExceeded: {
    code: Code.DeadlineExceeded,
    message: "context deadline exceeded",
  },
  unhealthy: etcd(Code.Unavailable, "unhealthy cluster"),
  rangeStreamSort: {
    code: Code.Unimplemented,
    message: "RangeStream does not support custom sort orders",
  },
  rangeStreamFilter: {
    code: Code.Unimplemented,
    message: "RangeStream does not support revision filters",
  },
  unknownMethod: etcd(Code.Unknown, "unknown method"),
  wrongDowngradeVersionFormat: etcd(
    Code.InvalidArgument,
    "wrong downgrade target version format",
  ),
  invalidDowngradeTargetVersion: etcd(
    Code.InvalidArgument,
    "invalid downgrade target version",
  ),
  downgradeInProcess: etcd(
    Code.FailedPrecondition,
    "cluster has a downgrade job in progress",
  ),
  userEmpty: etcd(Code.InvalidArgument, "user name is empty"),
  roleEmpty: etcd(Code.InvalidArgument, "role name is empty"),
  authFailed: etcd(
    Code.InvalidArgument,
    "authentication failed, invalid user ID or password",
  ),
  noPasswordUser: {
    code: Code.Unknown,
    message:
      "auth: authentication failed, password was given for no password user",
  },
  permissionNotGiven: etcd(Code.InvalidArgument, "permission not given"),
  invalidAuthManagement: etcd(Code.InvalidArgument, "invalid auth management"),
  authOldRevision: etcd(
    Code.InvalidArgument,
    "revision of auth store is old",
  ),
  rootUserNotExist: etcd(Code.FailedPrecondition, "root user does not exist"),
  rootRoleNotExist: etcd(
    Code.FailedPrecondition,
    "root user does not have root role",
  ),
  userAlreadyExists: etcd(Code.FailedPrecondition, "user name already exists"),
  userNotFound: etcd(Code.FailedPrecondition, "user name not found"),
  roleAlreadyExists: etcd(Code.FailedPrecondition, "role name already exists"),
  roleNotFound: etcd(Code.FailedPrecondition, "role name not found"),
  roleNotGranted: etcd(
    Code.FailedPrecondition,
    "role is not granted to the user",
  ),
  permissionNotGranted: etcd(
    Code.FailedPrecondition,
    "permission is not granted to the role",
  ),
  authNotEnabled: etcd(
    Code.FailedPrecondition,
    "authentication is not enabled",
  ),
  permissionDenied: etcd(Code.PermissionDenied, "permission denied"),
  invalidAuthToken: etcd(Code.Unauthenticated, "invalid auth token"),
  tokenVerifyOnly: {
    code: Code.Unknown,
    message: "auth: token signing attempted with verify-only key",
  },
  passwordTooLong: {
    code: Code.Unknown,
    message: "bcrypt: password length exceeds 72 bytes",
  },
  noElectionLeader: { code: Code.Unknown, message: "election: no leader" },
  notElectionLeader: { code: Code.Unknown, message: "election: not leader" },
  leaderFieldMissing: {
    code: Code.Unknown,
    message: '"leader" field must be provided',
  },
  lockSessionExpired: {
    code: Code.Unknown,
    message: "mutex: session is expired",
  },
};

function etcd(code: Code, message: string): Status {
  return { code, message: `etcdserver: ${message}` };
}

/** Turns what a handler threw into what the client sees; what nobody expected is logged here, once. */
export function errorMapper(log: Logger): ErrorMapper {
  return (error, path) => {
    if (error instanceof DomainError) return STATUS[error.kind];
    if (error instanceof StatusError) return error;
    if (error instanceof WireError) {
      return { code: Code.Internal, message: error.message };
    }
    log.error("request failed unexpectedly", { path, error });
    return { code: Code.Unknown, message: "internal error" };
  };
}
