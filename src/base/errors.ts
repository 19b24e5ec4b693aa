/**
 * What can go wrong in the domain, by name. `rpc/errors.ts` gives each its etcd code and message;
 * a kind without a row there does not compile.
 */
export type ErrorKind =
  | "emptyKey"
  | "keyNotFound"
  | "valueProvided"
  | "leaseProvided"
  | "tooManyOps"
  | "duplicateKey"
  | "invalidSortOption"
  | "invalidClientApiVersion"
  | "requestTooLarge"
  | "compacted"
  | "futureRevision"
  | "noSpace"
  | "corrupt"
  | "leaseNotFound"
  | "leaseExists"
  | "leaseTtlTooLarge"
  | "memberNotFound"
  | "memberNotLearner"
  | "memberNotEnoughStarted"
  | "memberExists"
  | "peerUrlExists"
  | "memberBadUrls"
  | "tooManyRequests"
  | "noLeader"
  | "notLeader"
  | "badLeaderTransferee"
  | "stopped"
  | "timeout"
  | "timeoutLeaderFail"
  | "timeoutConnectionLost"
  | "canceled"
  | "watchCanceled"
  | "deadlineExceeded"
  | "unhealthy"
  | "rangeStreamSort"
  | "rangeStreamFilter"
  | "unknownMethod"
  | "wrongDowngradeVersionFormat"
  | "invalidDowngradeTargetVersion"
  | "downgradeInProcess"
  | "userEmpty"
  | "roleEmpty"
  | "authFailed"
  | "noPasswordUser"
  | "permissionNotGiven"
  | "invalidAuthManagement"
  | "authOldRevision"
  | "rootUserNotExist"
  | "rootRoleNotExist"
  | "userAlreadyExists"
  | "userNotFound"
  | "roleAlreadyExists"
  | "roleNotFound"
  | "roleNotGranted"
  | "permissionNotGranted"
  | "authNotEnabled"
  | "permissionDenied"
  | "invalidAuthToken"
  | "tokenVerifyOnly"
  | "passwordTooLong"
  | "noElectionLeader"
  | "notElectionLeader"
  | "leaderFieldMissing"
  | "lockSessionExpired";

/** An expected failure, known by its kind. Knows nothing of gRPC. */
export class DomainError extends Error {
  override name = "DomainError";

  constructor(readonly kind: ErrorKind, options?: ErrorOptions) {
    super(kind, options);
  }
}
