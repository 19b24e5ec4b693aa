/// <reference lib="deno.worker" />
import { listAtOnce, listStream } from "./etcd_calls.ts";
import { GrpcConnection } from "./grpc_connection.ts";
import type { ListReport } from "./lister.ts";

let isOver = false;
let running: Promise<ListReport> | undefined;

/** Everything, in a stream and in one answer, by turns, without a pause. */
async function list(connection: GrpcConnection): Promise<ListReport> {
  const report: ListReport = { lists: 0, bytes: 0, failures: [] };
  while (!isOver) {
    try {
      report.bytes += await (report.lists % 2 === 0
        ? listStream(connection)
        : listAtOnce(connection));
      report.lists++;
    } catch (error) {
      report.failures.push(`list: ${(error as Error).message}`);
      break;
    }
  }
  connection.close();
  return report;
}

self.onmessage = async (event: MessageEvent<{ port?: number }>) => {
  const { port } = event.data;
  if (port !== undefined) {
    running = list(await GrpcConnection.open(port));
    self.postMessage({});
    return;
  }
  isOver = true;
  self.postMessage(await running);
};
