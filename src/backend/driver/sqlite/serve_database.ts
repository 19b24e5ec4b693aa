import type { DatabaseSync } from "node:sqlite";
import { BackendError } from "../../backend.ts";
import { DataDir } from "./data_dir.ts";
import { Database } from "./database.ts";
import { Mailbox } from "./mailbox.ts";
import { type Answer, type Start, START_REQUEST } from "./protocol.ts";
import { errorParts } from "../thread_messages.ts";
import { RequestLoop } from "./request_loop.ts";
import { toBackendError } from "./sqlite_error.ts";

/** What a worker's `self` is here. */
interface Scope {
  onmessage: (event: MessageEvent<Start>) => void;
  postMessage(answer: Answer, transfer: ArrayBuffer[]): void;
}

/**
 * Makes this thread the one that touches the database. The first and only event it ever handles starts a loop
 * that sleeps in shared memory, so nothing in it may rely on timers or events. `openFile`: default SQLite itself.
 */
export function serveDatabase(
  openFile?: (path: string) => DatabaseSync,
): void {
  const scope = self as unknown as Scope;
  scope.onmessage = ({ data }) => serve(scope, data, openFile);
}

async function serve(
  scope: Scope,
  start: Start,
  openFile: ((path: string) => DatabaseSync) | undefined,
): Promise<void> {
  let dir: DataDir | undefined;
  let database: Database;
  try {
    dir = DataDir.open(start.dir);
    database = Database.open(dir, start.options, openFile);
  } catch (error) {
    dir?.close();
    const action = `open ${JSON.stringify(start.dir)}`;
    return refuse(scope, START_REQUEST, toBackendError(action, error) ?? error);
  }
  const parts = {
    database,
    dir,
    mailbox: new Mailbox(start.shared),
    port: start.port,
  };
  const loop = new RequestLoop(
    parts,
    (answer, transfer) => scope.postMessage(answer, transfer),
  );
  scope.postMessage({ request: START_REQUEST, ok: database.head }, []);
  const request = await loop.run();
  try {
    database.close();
  } catch (error) {
    return refuse(scope, request, toBackendError("close", error) ?? error);
  } finally {
    dir.close();
  }
  scope.postMessage({ request, ok: undefined }, []);
}

/** Answers with what the world did; a mistake of ours ends the worker. */
function refuse(scope: Scope, request: number, error: unknown): void {
  if (!(error instanceof BackendError)) throw error;
  scope.postMessage({ request, error: errorParts(error) }, []);
}
