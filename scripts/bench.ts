import {
  encodePutRequest,
  encodeRangeRequest,
  newPutRequest,
  newRangeRequest,
} from "../src/pb/etcdserverpb.ts";
import { concatBytes, utf8 } from "../src/base/bytes.ts";
import { listAtOnce, listStream } from "../tests/robustness/load/etcd_calls.ts";
import {
  etcdPath,
  GrpcConnection,
} from "../tests/robustness/load/grpc_connection.ts";
import { percentile, Probe } from "../tests/robustness/load/probe.ts";
import {
  cpuMs,
  has,
  residentMib,
  run,
  type ServerCommand,
  type ServerProcess,
  startServerProcess,
  writtenBytes,
} from "./bench/process.ts";

/**
 * Measures Stele side by side with the `etcd` on PATH, if there is one, in turns on this machine, and prints
 * the table of tests/bench/RESULTS.md. The loads are h2load (nghttp2) and, where Go is installed, the
 * peerbench of ../shared. What is not installed is left out, with a line that says so.
 *
 *   deno task bench [--quick] [--only start|load|idle|compact|list|checkperf]
 */
const QUICK = Deno.args.includes("--quick");
const ONLY_AT = Deno.args.indexOf("--only");
/** Which parts to run: start, load, idle, compact, list, checkperf. */
const FILTER = new RegExp(ONLY_AT < 0 ? "." : Deno.args[ONLY_AT + 1] ?? ".");
const VALUE = new Uint8Array(512).fill(0x76);
const MAIN = new URL("../mod.ts", import.meta.url).pathname;
const PEERBENCH = new URL("../../shared/peerbench/", import.meta.url).pathname;
const GO_CLIENTS = new URL("../tests/clients/go/", import.meta.url).pathname;

const STELE: ServerCommand = {
  name: "stele",
  command: Deno.execPath(),
  args: (port, dir) => [
    "run",
    "-A",
    "--no-prompt",
    MAIN,
    "serve",
    `--data-dir=${dir}`,
    `--listen-client-urls=http://127.0.0.1:${port}`,
    `--advertise-client-urls=http://127.0.0.1:${port}`,
    "--log-level=error",
  ],
};

const ETCD: ServerCommand = {
  name: "etcd",
  command: "etcd",
  args: (port, dir) => [
    `--data-dir=${dir}`,
    `--listen-client-urls=http://127.0.0.1:${port}`,
    `--advertise-client-urls=http://127.0.0.1:${port}`,
    `--listen-peer-urls=http://127.0.0.1:${port + 1}`,
    "--quota-backend-bytes=8589934592",
    "--log-level=error",
  ],
};

interface Row {
  readonly measure: string;
  readonly unit: string;
  readonly values: Map<string, number>;
}

const rows: Row[] = [];

function record(
  measure: string,
  unit: string,
  server: string,
  value: number,
): void {
  let row = rows.find((r) => r.measure === measure && r.unit === unit);
  if (row === undefined) rows.push(row = { measure, unit, values: new Map() });
  row.values.set(server, value);
  console.error(`${server.padEnd(6)} ${measure}: ${format(value)} ${unit}`);
}

async function h2load(
  server: ServerProcess,
  name: string,
  method: string,
  body: Uint8Array,
  shape: { connections: number; streams: number; requests: number },
): Promise<void> {
  const file = await Deno.makeTempFile();
  const prefix = new Uint8Array(5);
  new DataView(prefix.buffer).setUint32(1, body.length);
  await Deno.writeFile(file, concatBytes(prefix, body));
  const { connections, streams, requests } = shape;
  const before = cpuMs(server.pid);
  const out = await run("h2load", [
    ...[
      "-n",
      `${requests}`,
      "-c",
      `${connections}`,
      "-m",
      `${streams}`,
      "-d",
      file,
    ],
    ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
    `http://127.0.0.1:${server.port}${method}`,
  ]);
  const used = cpuMs(server.pid) - before;
  await Deno.remove(file);
  const rate = Number(/([\d.]+) req\/s/.exec(out)?.[1]);
  const succeeded = Number(/(\d+) succeeded/.exec(out)?.[1]);
  if (succeeded !== requests) {
    throw new Error(`${server.name} ${name}: ${succeeded} of ${requests}`);
  }
  const label = `${name}, h2load ${connections}×${streams}`;
  record(label, "req/s", server.name, rate);
  record(label, "µs CPU/req", server.name, used * 1000 / requests);
}

async function peerbench(
  server: ServerProcess,
  binary: string,
  cases: string,
): Promise<void> {
  const out = await run(binary, [
    ...["-endpoint", `127.0.0.1:${server.port}`, "-pid", `${server.pid}`],
    ...["-time", QUICK ? "2s" : "5s", "-run", cases, "-json"],
  ]);
  for (const result of JSON.parse(out)) {
    if (result.error) {
      throw new Error(`${server.name} ${result.case}: ${result.error}`);
    }
    record(result.case, "op/s", server.name, result.per_s);
    record(
      result.case,
      "µs CPU/op",
      server.name,
      result.server_cpu_us_per_op ?? 0,
    );
    record(result.case, "p50 ms", server.name, result.p50_ms);
    record(result.case, "p99 ms", server.name, result.p99_ms);
  }
}

async function loads(
  server: ServerProcess,
  binary: string | undefined,
): Promise<void> {
  const requests = QUICK ? 50_000 : 300_000;
  const key = utf8("/bench/one");
  const get = encodeRangeRequest(newRangeRequest({ key }));
  const put = encodePutRequest(newPutRequest({ key, value: VALUE }));
  if (await has("h2load")) {
    await h2load(server, "Put", "/etcdserverpb.KV/Put", put, {
      connections: 10,
      streams: 10,
      requests: requests / 2,
    });
    await h2load(server, "Put", "/etcdserverpb.KV/Put", put, {
      connections: 100,
      streams: 1,
      requests: requests / 2,
    });
    await h2load(server, "Get", "/etcdserverpb.KV/Range", get, {
      connections: 10,
      streams: 10,
      requests,
    });
    await h2load(server, "Get", "/etcdserverpb.KV/Range", get, {
      connections: 100,
      streams: 1,
      requests,
    });
  } else {
    console.error("h2load is not installed: its rows are left out");
  }
  if (binary !== undefined) {
    await peerbench(
      server,
      binary,
      "^(create|get|list-500|list-10k|count|one-writer|watch-fanout)$",
    );
  }
}

/** The load of `etcdctl check perf --load=l`, without etcdctl's limiter. */
async function checkPerf(
  command: ServerCommand,
  binary: string,
): Promise<void> {
  await using server = await startServerProcess(command);
  const before = cpuMs(server.pid);
  const seconds = QUICK ? 5 : 20;
  const out = await run(binary, [
    ...["-endpoint", `127.0.0.1:${server.port}`, "-time", `${seconds}s`],
  ]);
  const { per_s, p99_ms, slowest_ms, stddev_ms } = JSON.parse(out);
  const used = cpuMs(server.pid) - before;
  const measure = "500 clients, 8,000 puts a second asked";
  record(measure, "op/s", command.name, per_s);
  record(measure, "µs CPU/op", command.name, used * 1000 / (per_s * seconds));
  record(measure, "p99 ms", command.name, p99_ms);
  record(measure, "slowest, ms", command.name, slowest_ms);
  record(measure, "standard deviation, ms", command.name, stddev_ms);
}

async function startAndMemory(command: ServerCommand): Promise<void> {
  const dir = await Deno.makeTempDir();
  {
    await using server = await startServerProcess(command, dir);
    record("ready after start, empty", "ms", command.name, server.readyMs);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    record("memory, idle", "MiB", command.name, residentMib(server.pid));
    await fill(server, QUICK ? 20_000 : 200_000);
  }
  {
    await using server = await startServerProcess(command, dir);
    const keys = QUICK ? "20,000" : "200,000";
    record(
      `ready after start, ${keys} keys of 512 B`,
      "ms",
      command.name,
      server.readyMs,
    );
    await new Promise((resolve) => setTimeout(resolve, 1000));
    record(
      `memory, ${keys} keys of 512 B`,
      "MiB",
      command.name,
      residentMib(server.pid),
    );
  }
  await Deno.remove(dir, { recursive: true });
}

/** Puts keys through transactions of 100 puts, over fetch-free plain gRPC. */
async function fill(server: ServerProcess, keys: number): Promise<void> {
  const { EtcdClient } = await import("../tests/support/etcd_client.ts");
  using client = new EtcdClient(`127.0.0.1:${server.port}`);
  const txn = (first: number) =>
    client.txn({
      success: Array.from({ length: 100 }, (_, i) => ({
        request_put: {
          key: utf8(
            `/registry/pods/default/pod-${String(first + i).padStart(8, "0")}`,
          ),
          value: VALUE,
        },
      })),
    });
  for (let first = 0; first < keys; first += 800) {
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => txn(first + i * 100)),
    );
  }
}

async function idle(command: ServerCommand): Promise<void> {
  const { EtcdClient } = await import("../tests/support/etcd_client.ts");
  await using server = await startServerProcess(command);
  using client = new EtcdClient(`127.0.0.1:${server.port}`);
  const watches = Array.from({ length: 100 }, () => client.openWatch());
  for (const watch of watches) await watch.create({ key: utf8("k") });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const seconds = QUICK ? 5 : 20;
  const cpu = cpuMs(server.pid);
  const written = writtenBytes(server.pid);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  record(
    "idle with 100 watches, CPU",
    "% of a core",
    command.name,
    (cpuMs(server.pid) - cpu) / seconds / 10,
  );
  record(
    "idle with 100 watches, written",
    "bytes",
    command.name,
    writtenBytes(server.pid) - written,
  );
  for (const watch of watches) await watch.cancel();
}

/** Writes one after another while a compaction removes many rows. */
async function underCompaction(command: ServerCommand): Promise<void> {
  const { EtcdClient } = await import("../tests/support/etcd_client.ts");
  await using server = await startServerProcess(command);
  using client = new EtcdClient(`127.0.0.1:${server.port}`);
  const rows = QUICK ? 100_000 : 1_000_000;
  const txn = (first: number) =>
    client.txn({
      success: Array.from({ length: 100 }, (_, i) => ({
        request_put: { key: utf8(`k${(first + i) % 10_000}`), value: VALUE },
      })),
    });
  for (let first = 0; first < rows; first += 800) {
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => txn(first + i * 100)),
    );
  }
  const revision = await client.revision();
  let isDone = false;
  const began = performance.now();
  const compaction = client.kv.call("Compact", { revision, physical: true })
    .finally(() => isDone = true);
  const latencies: number[] = [];
  while (!isDone) {
    const sent = performance.now();
    await client.put("writer", "v");
    latencies.push(performance.now() - sent);
  }
  await compaction;
  const took = performance.now() - began;
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    latencies[Math.floor(latencies.length * share)] ?? 0;
  const label = `put while ${rows.toLocaleString("en")} rows are compacted`;
  record(label, "p50 ms", command.name, at(0.5));
  record(label, "p99 ms", command.name, at(0.99));
  record(label, "s in all", command.name, took / 1000);
}

/** What others feel while one client reads everything, in each of the ways there are. */
async function underReading(command: ServerCommand): Promise<void> {
  await using server = await startServerProcess(command);
  const keys = QUICK ? 20_000 : 200_000;
  await fill(server, keys);
  const connection = await GrpcConnection.open(server.port);
  const ways: [string, () => Promise<unknown>][] = [
    ["in one Range", () => listAtOnce(connection)],
    ["by RangeStream", () => listStream(connection)],
    ["as a snapshot", () =>
      connection.serverStream(
        etcdPath("Maintenance/Snapshot"),
        new Uint8Array(0),
        () => {},
      )],
  ];
  for (const [way, read] of ways) {
    const probe = await Probe.start(server.port);
    const until = performance.now() + (QUICK ? 2000 : 10_000);
    let reads = 0;
    const began = performance.now();
    while (performance.now() < until) {
      await read();
      reads++;
    }
    const seconds = (performance.now() - began) / reads / 1000;
    const { latencies, failures } = await probe.stop();
    if (failures.length > 0) throw new Error(`${command.name} ${failures[0]}`);
    const label = `while ${keys.toLocaleString("en")} keys are read ${way}`;
    record(
      `put ${label}`,
      "p99 ms",
      command.name,
      percentile(latencies.put, 0.99),
    );
    record(
      `get ${label}`,
      "p99 ms",
      command.name,
      percentile(latencies.get, 0.99),
    );
    record(`the reading, ${way}`, "s", command.name, seconds);
  }
  connection.close();
}

function format(value: number): string {
  return value >= 100
    ? Math.round(value).toLocaleString("en")
    : value.toPrecision(3);
}

function printTable(servers: readonly ServerCommand[]): void {
  const names = servers.map((s) => s.name);
  console.log(`| measure | unit | ${names.join(" | ")} | stele / etcd |`);
  console.log(`| --- | --- |${" ---: |".repeat(names.length + 1)}`);
  for (const { measure, unit, values } of rows) {
    const cells = names.map((name) =>
      values.has(name) ? format(values.get(name)!) : "–"
    );
    const [stele, etcd] = [values.get("stele"), values.get("etcd")];
    const ratio = stele !== undefined && etcd ? (stele / etcd).toFixed(2) : "–";
    console.log(`| ${measure} | ${unit} | ${cells.join(" | ")} | ${ratio} |`);
  }
}

/** Undefined, with a line that says why, if it cannot be built. */
async function build(name: string, dir: string): Promise<string | undefined> {
  if (!(await has("go"))) {
    console.error(`go is not installed: the rows of ${name} are left out`);
    return undefined;
  }
  try {
    const binary = `${await Deno.makeTempDir()}/${name}`;
    await run("go", ["build", "-o", binary, "."], dir);
    return binary;
  } catch (error) {
    console.error(
      `Cannot build ${name}: its rows are left out: ${
        (error as Error).message
      }`,
    );
    return undefined;
  }
}

async function main(): Promise<void> {
  const servers = await has("etcd") ? [STELE, ETCD] : [STELE];
  if (servers.length === 1) {
    console.error("no etcd on PATH: measuring Stele alone");
  }
  const binary = await build("peerbench", PEERBENCH);
  const checkperf = await build("checkperf", `${GO_CLIENTS}checkperf`);
  for (const command of servers) {
    if (FILTER.test("start")) await startAndMemory(command);
    if (FILTER.test("load")) {
      await using server = await startServerProcess(command);
      await loads(server, binary);
    }
    if (FILTER.test("idle")) await idle(command);
    if (FILTER.test("compact")) await underCompaction(command);
    if (FILTER.test("list")) await underReading(command);
    if (FILTER.test("checkperf") && checkperf !== undefined) {
      await checkPerf(command, checkperf);
    }
  }
  const cpus = navigator.hardwareConcurrency;
  console.log(
    `Deno ${Deno.version.deno}, ${Deno.build.os} ${Deno.build.arch}, ${cpus} cores\n`,
  );
  printTable(servers);
}

await main();
