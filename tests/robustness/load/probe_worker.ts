/// <reference lib="deno.worker" />
import { cpuMs } from "../../../scripts/bench/process.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { get, put } from "./etcd_calls.ts";
import { GrpcConnection } from "./grpc_connection.ts";
import type { ProbeReport } from "./probe.ts";

/** Calls of one kind a second; they are sent whether or not earlier ones were answered. */
const CALLS_PER_SECOND = 50;
const KEY = utf8("/probe");
const VALUE = new Uint8Array(100).fill(0x70);

const latencies: { [kind in "put" | "get"]: number[] } = { put: [], get: [] };
const serverCpuMs: number[] = [];
const failures: string[] = [];
let serverPid: number | undefined;
const underWay = new Set<Promise<void>>();
let timer: ReturnType<typeof setInterval> | undefined;
let connection: GrpcConnection | undefined;

async function measure(
  kind: "put" | "get",
  call: () => Promise<number>,
): Promise<void> {
  const sent = performance.now();
  const before = serverPid === undefined ? 0 : cpuMs(serverPid);
  try {
    await call();
    latencies[kind].push(performance.now() - sent);
    if (serverPid !== undefined) serverCpuMs.push(cpuMs(serverPid) - before);
  } catch (error) {
    failures.push(`${kind}: ${(error as Error).message}`);
  }
}

function tick(): void {
  const open = connection!;
  for (
    const call of [
      measure("put", () => put(open, KEY, VALUE)),
      measure("get", () => get(open, KEY)),
    ]
  ) {
    underWay.add(call);
    call.finally(() => underWay.delete(call));
  }
}

self.onmessage = async (
  event: MessageEvent<{ port?: number; pid?: number }>,
) => {
  const { port, pid } = event.data;
  if (port !== undefined) {
    serverPid = pid;
    connection = await GrpcConnection.open(port);
    timer = setInterval(tick, 1000 / CALLS_PER_SECOND);
    self.postMessage({});
    return;
  }
  clearInterval(timer);
  await Promise.all(underWay);
  connection?.close();
  const report: ProbeReport = { latencies, serverCpuMs, failures };
  self.postMessage(report);
};
