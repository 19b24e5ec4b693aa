import type { RemoteEngine } from "../remote/remote_backend.ts";

/** MySQL and MariaDB, for `RemoteBackend`. */
export const MYSQL_ENGINE: RemoteEngine = {
  name: "mysql",
  workerUrl: new URL("./worker.ts", import.meta.url),
  env: [],
};
