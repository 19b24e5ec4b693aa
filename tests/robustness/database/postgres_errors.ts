import type { EngineErrors } from "./fault_mix.ts";

const CONFLICT = {
  code: "40001",
  message: "could not serialize access due to concurrent update",
};
const SHUTDOWN = {
  code: "57P01",
  message: "terminating connection due to administrator command",
  isFatal: true,
};
/** No driver knows this one, so that it is not tried again. */
const UNHEARD_OF = {
  code: "58030",
  message: "could not fsync file: Input/output error",
};

export const POSTGRES_ERRORS: EngineErrors = {
  refusals: [
    CONFLICT,
    { code: "40P01", message: "deadlock detected" },
    { code: "55P03", message: "canceling statement due to lock timeout" },
    { code: "57014", message: "canceling statement due to statement timeout" },
    SHUTDOWN,
    {
      code: "25006",
      message: "cannot execute INSERT in a read-only transaction",
    },
    UNHEARD_OF,
  ],
  commitFailures: [CONFLICT, SHUTDOWN],
  losses: [
    SHUTDOWN,
    {
      code: "08006",
      message: "server closed the connection unexpectedly",
      isFatal: true,
    },
    UNHEARD_OF,
  ],
  unwelcome: [
    {
      code: "53300",
      message: "sorry, too many clients already",
      isFatal: true,
    },
    {
      code: "57P03",
      message: "the database system is starting up",
      isFatal: true,
    },
  ],
};

/** What YugabyteDB says instead or as well; see its list of retryable errors. */
export const YUGABYTEDB_ERRORS: EngineErrors = {
  refusals: [
    {
      code: "40001",
      message:
        "Restart read required at: { read: { physical: 1700000000000000 } }",
    },
    {
      code: "40001",
      message:
        "could not serialize access due to concurrent update (query layer retry isn't possible because this is not the first command in the transaction)",
    },
    {
      code: "40001",
      message:
        "The catalog snapshot used for this transaction has been invalidated: expected: 2, got: 1: MISMATCHED_SCHEMA",
    },
    {
      code: "XX000",
      message:
        "The catalog snapshot used for this transaction has been invalidated: expected: 2, got: 1",
    },
    { code: "XX000", message: "schema version mismatch for table stele_kv" },
    {
      code: "40P01",
      message:
        "Transaction aborted due to a deadlock (query layer retry isn't possible)",
    },
    {
      code: "25P03",
      message:
        "terminating connection due to idle-in-transaction session timeout",
      isFatal: true,
    },
    SHUTDOWN,
  ],
  commitFailures: [
    {
      code: "40001",
      message:
        "Operation expired: Transaction expired or aborted by a conflict: kConflict",
    },
    {
      code: "40001",
      message: "Heartbeat expired: Transaction expired",
    },
    {
      code: "XX000",
      message:
        "Heartbeat expired: Transaction expired or aborted by a conflict",
    },
  ],
  losses: [
    SHUTDOWN,
    {
      code: "XX000",
      message: "Timed out: Perform RPC (request call id 12) timed out",
    },
    {
      code: "XX000",
      message: "Network error: recvmsg error: Connection reset by peer",
    },
  ],
  unwelcome: [{
    code: "53300",
    message: "sorry, too many clients already",
    isFatal: true,
  }],
};
