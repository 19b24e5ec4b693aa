import {
  defaultConfig,
  type RunningServer,
  startServer,
} from "../../../mod.ts";
import { DEFAULT_DATASTORE_SETTINGS } from "../../../src/backend/driver/remote/datastore_settings.ts";
import { freePort } from "../../support/cluster.ts";

/** Short, so that silent connections do not take long, and long enough for a busy machine. */
const STATEMENT_TIMEOUT_MS = 1500;

/** A server on a shared database, with an address of its own. */
export async function startReplica(
  endpoint: string,
  number: number,
): Promise<RunningServer> {
  const url = `http://127.0.0.1:${await freePort()}`;
  return await startServer(defaultConfig({
    name: `replica${number}`,
    endpoint,
    datastore: {
      ...DEFAULT_DATASTORE_SETTINGS,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    },
    listenClientUrls: [url],
    advertiseClientUrls: [url],
    logLevel: "error",
  }));
}
