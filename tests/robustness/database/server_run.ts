import assert from "node:assert/strict";
import type { RunningServer } from "../../../mod.ts";
import {
  databaseName,
  type DatabaseServer,
} from "../../support/database_server.ts";
import { EtcdClient, type Message } from "../../support/etcd_client.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import type { FaultPlan } from "../../support/fault_proxy_connection.ts";
import type { Wire } from "../../support/fault_proxy_wire.ts";
import { Random } from "../../support/random.ts";
import { EventLog } from "./event_log.ts";
import type { Counts } from "./counts.ts";
import { Outages } from "./outages.ts";
import { startReplica } from "./start_replica.ts";
import { Writer } from "./writer.ts";

export interface ServerRunOptions {
  readonly seed: number;
  readonly plan: FaultPlan;
  readonly servers: number;
  readonly writers: number;
  readonly durationMs: number;
}

/** What was done in a run, for the record. */
export interface ServerRunResult {
  readonly acknowledged: number;
  readonly unknown: number;
  readonly events: number;
  readonly faults: Counts;
  readonly failures: Counts;
}

/**
 * Writers and watchers on servers that share one database behind a proxy that makes faults: whatever was acknowledged
 * must have been done exactly once, and every watch must have seen all of it, once and in order.
 */
export async function runServers(
  database: DatabaseServer,
  makeWire: () => Wire,
  options: ServerRunOptions,
): Promise<ServerRunResult> {
  const name = databaseName();
  await using proxy = new FaultProxy(database.url, makeWire);
  const servers: RunningServer[] = [];
  try {
    for (let i = 0; i < options.servers; i++) {
      servers.push(await startReplica(`${proxy.url}/${name}`, i));
    }
    const addresses = servers.map(({ clientUrls }) =>
      new URL(clientUrls[0]!).host
    );
    return await writeAndCheck(proxy, addresses, options);
  } finally {
    proxy.plan = () => undefined;
    proxy.accept();
    await Promise.all(servers.map((server) => server.stop()));
    await database.drop(name);
  }
}

async function writeAndCheck(
  proxy: FaultProxy,
  addresses: readonly string[],
  options: ServerRunOptions,
): Promise<ServerRunResult> {
  const { seed, durationMs } = options;
  const logs = await Promise.all(addresses.map((a) => EventLog.open(a)));
  const writers = Array.from({ length: options.writers }, (_, i) => {
    const address = addresses[i % addresses.length]!;
    return new Writer(String(i), address, new Random(seed * 100 + i));
  });
  try {
    proxy.plan = options.plan;
    const outages = new Outages(proxy, new Random(seed));
    try {
      const signal = AbortSignal.timeout(durationMs);
      await Promise.all(writers.map((writer) => writer.run(signal)));
    } finally {
      outages.stop();
      proxy.plan = () => undefined;
    }
    const { kvs, header } = await readEverywhere(addresses);
    checkKeys(writers, kvs);
    checkCounters(writers, kvs);
    await checkEvents(logs, Number(header.revision));
  } finally {
    for (const log of logs) log[Symbol.dispose]();
  }
  return resultOf(writers, logs, proxy);
}

/** What all servers have; at the same revision, which a late batch may still change. */
async function readEverywhere(addresses: readonly string[]): Promise<Message> {
  for (;;) {
    const states = await Promise.all(addresses.map(readAll));
    const first = states[0]!;
    const isSettled = states.every(({ header }) =>
      header.revision === first.header.revision
    );
    if (!isSettled) continue;
    for (const { kvs } of states) {
      assert.deepEqual(kvs, first.kvs, "the servers disagree");
    }
    return first;
  }
}

/** Needs no restart: every server answers, linearizably, as soon as the database does. */
async function readAll(address: string): Promise<Message> {
  const client = new EtcdClient(address);
  try {
    for (let failures = 0;; failures++) {
      try {
        return await client.range("\0", "\0");
      } catch (error) {
        if (failures === MAX_READ_FAILURES) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    }
  } finally {
    client.close();
  }
}

const MAX_READ_FAILURES = 20;

/** Each key at its revision, and nobody's key a second time. */
function checkKeys(writers: readonly Writer[], kvs: readonly Message[]): void {
  const found = new Map(kvs.map((kv) => [String(kv.key), kv]));
  for (const { key, revision } of writers.flatMap((writer) => writer.keys)) {
    const kv = found.get(key);
    if (kv !== undefined) assert.equal(kv.version, "1", `${key} came twice`);
    if (revision === undefined) continue;
    assert.equal(Number(kv?.mod_revision), revision, `${key} is lost`);
  }
}

/** A counter was incremented as often as it says, and as often as was acknowledged. */
function checkCounters(
  writers: readonly Writer[],
  kvs: readonly Message[],
): void {
  for (const { key, value, version } of kvs) {
    const [, number] = String(key).split("counter/");
    if (number === undefined) continue;
    const counted = writers.map((writer) => writer.counted[Number(number)]!);
    const least = sum(counted.map(({ acknowledged }) => acknowledged));
    const most = least + sum(counted.map(({ unknown }) => unknown));
    const count = Number(value);
    assert.equal(Number(version), count, `${key} was written twice`);
    assert(
      least <= count && count <= most,
      `${key} is ${count}, from ${least} to ${most} were acknowledged`,
    );
  }
}

/** Each revision is one event. */
async function checkEvents(
  logs: readonly EventLog[],
  revision: number,
): Promise<void> {
  for (const log of logs) {
    await log.readThrough(revision);
    assert.equal(log.events.length, revision - 1, "events are missing");
    assert.deepEqual(log.events, logs[0]!.events, "the watches disagree");
  }
}

function resultOf(
  writers: readonly Writer[],
  logs: readonly EventLog[],
  proxy: FaultProxy,
): ServerRunResult {
  const failures = new Map<string, number>();
  let acknowledged = 0;
  let unknown = 0;
  for (const writer of writers) {
    for (const { revision } of writer.keys) {
      if (revision === undefined) unknown++;
      else acknowledged++;
    }
    acknowledged += sum(writer.counted.map((of) => of.acknowledged));
    unknown += sum(writer.counted.map((of) => of.unknown));
    for (const [text, count] of writer.failures) {
      failures.set(text, (failures.get(text) ?? 0) + count);
    }
  }
  const events = sum(logs.map((log) => log.events.length));
  return { acknowledged, unknown, events, faults: proxy.counts, failures };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
