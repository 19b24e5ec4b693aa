import type { RemoteEngine } from "../remote/remote_backend.ts";

/** PostgreSQL and YugabyteDB, for `RemoteBackend`. */
export const POSTGRES_ENGINE: RemoteEngine = {
  name: "postgres",
  workerUrl: new URL("./worker.ts", import.meta.url),
  env: [],
};
