import type { BackendError } from "../../backend.ts";
import { DataDir } from "./data_dir.ts";
import { Database } from "./database.ts";
import { Mailbox } from "./mailbox.ts";
import { type Answer, type Start, START_REQUEST } from "./protocol.ts";
import { errorParts, RequestLoop } from "./request_loop.ts";
import { toBackendError } from "./sqlite_error.ts";

/**
 * The worker's entry: the one thread that touches the database, with the permissions for its directory
 * and nothing else. The first and only event it ever handles starts a loop that sleeps in shared memory,
 * so nothing here may rely on timers or events.
 */
const scope = self as unknown as {
  onmessage: (event: MessageEvent<Start>) => void;
  postMessage(answer: Answer, transfer: ArrayBuffer[]): void;
};

scope.onmessage = async ({ data }) => {
  let dir: DataDir | undefined;
  let database: Database;
  try {
    dir = DataDir.open(data.dir);
    database = Database.open(dir, data.options);
  } catch (error) {
    dir?.close();
    return refuse(START_REQUEST, `open ${JSON.stringify(data.dir)}`, error);
  }
  const parts = {
    database,
    dir,
    mailbox: new Mailbox(data.shared),
    port: data.port,
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
    return refuse(request, "close", error);
  } finally {
    dir.close();
  }
  scope.postMessage({ request, ok: undefined }, []);
};

function refuse(request: number, action: string, error: unknown): void {
  const known: BackendError | undefined = toBackendError(action, error);
  if (known === undefined) throw error;
  scope.postMessage({ request, error: errorParts(known) }, []);
}
