import type { EngineErrors } from "./fault_mix.ts";

const DEADLOCK = {
  code: "1213",
  message: "Deadlock found when trying to get lock; try restarting transaction",
};
const KILLED = {
  code: "1927",
  message: "Connection was killed",
  isFatal: true,
};
const SHUTDOWN = {
  code: "1053",
  message: "Server shutdown in progress",
  isFatal: true,
};
/** No driver knows this one, so that it is not tried again. */
const UNHEARD_OF = { code: "1105", message: "Unknown error" };

export const MARIADB_ERRORS: EngineErrors = {
  refusals: [
    DEADLOCK,
    {
      code: "1205",
      message: "Lock wait timeout exceeded; try restarting transaction",
    },
    {
      code: "1290",
      message:
        "The MariaDB server is running with the --read-only option so it cannot execute this statement",
    },
    { code: "1317", message: "Query execution was interrupted" },
    KILLED,
    SHUTDOWN,
    UNHEARD_OF,
  ],
  commitFailures: [DEADLOCK, {
    code: "1180",
    message: 'Got error 149 "Lock deadlock" during COMMIT',
  }, KILLED],
  losses: [
    SHUTDOWN,
    {
      code: "2013",
      message: "Lost connection to server during query",
      isFatal: true,
    },
    UNHEARD_OF,
  ],
  unwelcome: [{
    code: "1040",
    message: "Too many connections",
    isFatal: true,
  }],
};
