import {
  type DatastoreSettings,
  DEFAULT_DATASTORE_SETTINGS,
} from "../../../src/backend/driver/remote/datastore_settings.ts";
import { openBackend } from "../../../src/backend/open.ts";
import { SystemClock } from "../../../src/base/clock.ts";
import type { Backend } from "../../../src/backend/backend.ts";
import {
  databaseName,
  type DatabaseServer,
} from "../../support/database_server.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import type { FaultPlan } from "../../support/fault_proxy_connection.ts";
import type { Wire } from "../../support/fault_proxy_wire.ts";
import { Random } from "../../support/random.ts";
import { BatchLedger } from "./batch_ledger.ts";
import type { Counts } from "./counts.ts";
import { Outages } from "./outages.ts";
import { Replica } from "./replica.ts";

const MAX_STARTS = 5;

export interface AppendRunOptions {
  readonly seed: number;
  readonly plan: FaultPlan;
  readonly replicas: number;
  /** How long the log becomes. */
  readonly batches: number;
  /** Whether the server goes away now and then, for less than the driver's patience. */
  readonly hasOutages: boolean;
  /** How long the driver waits for an answer. Default: as in production. */
  readonly statementTimeoutMs?: number;
}

/** What was tried in a run, for the record. */
export interface AppendRunResult {
  readonly outcomes: BatchLedger["outcomes"];
  readonly faults: Counts;
  /** Calls that the driver gave up, by message. */
  readonly failures: Counts;
}

/** Replicas append to one database through a proxy that makes faults; then the database is held against the ledger. */
export async function runAppends(
  server: DatabaseServer,
  makeWire: () => Wire,
  options: AppendRunOptions,
): Promise<AppendRunResult> {
  const database = databaseName();
  const ledger = new BatchLedger();
  await using proxy = new FaultProxy(server.url, makeWire);
  proxy.plan = options.plan;
  try {
    await appendAll(`${proxy.url}/${database}`, proxy, { ...options, ledger });
    const clean = await opened(`${server.url}/${database}`);
    try {
      await ledger.check(clean);
    } finally {
      await clean.close();
    }
  } finally {
    await server.drop(database);
  }
  const { outcomes, failures } = ledger;
  return { outcomes, faults: proxy.counts, failures };
}

async function appendAll(
  url: string,
  proxy: FaultProxy,
  options: AppendRunOptions & { readonly ledger: BatchLedger },
): Promise<void> {
  const { seed, batches, ledger } = options;
  const names = Array.from({ length: options.replicas }, (_, i) => `r${i}`);
  const settings = options.statementTimeoutMs === undefined
    ? {}
    : { statementTimeoutMs: options.statementTimeoutMs };
  const backends = await Promise.all(
    names.map(() => openedAtLast(url, settings)),
  );
  const outages = options.hasOutages
    ? new Outages(proxy, new Random(seed))
    : undefined;
  try {
    await Promise.all(backends.map((backend, i) => {
      const random = new Random(seed * 100 + i);
      return new Replica(names[i]!, backend, ledger, random)
        .appendUntil(batches);
    }));
  } finally {
    outages?.stop();
    await Promise.all(backends.map((backend) => backend.close()));
  }
}

/** Some faults end a start, as they should; then there is another. */
async function openedAtLast(
  url: string,
  settings: Partial<DatastoreSettings>,
): Promise<Backend> {
  for (let starts = 1;; starts++) {
    try {
      return await opened(url, settings);
    } catch (error) {
      if (starts === MAX_STARTS) throw error;
    }
  }
}

async function opened(
  url: string,
  settings: Partial<DatastoreSettings> = {},
): Promise<Backend> {
  const backend = openBackend(url, {
    clock: new SystemClock(),
    datastore: { ...DEFAULT_DATASTORE_SETTINGS, ...settings },
  });
  try {
    await backend.open();
  } catch (error) {
    await backend.close();
    throw error;
  }
  return backend;
}
