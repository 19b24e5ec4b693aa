import {
  AlarmRequest_AlarmAction,
  AlarmType,
  decodeResponseHeader,
  type HashKVResponse,
  MaintenanceService,
  newAlarmRequest,
  newHashKVRequest,
} from "../pb/etcdserverpb.ts";
import { CallError } from "./call_error.ts";
import { openClient } from "./client_options.ts";
import { idText, LOWEST_KEY, pagesOf, range } from "./cluster_reads.ts";
import type { CommandContext } from "./command_context.ts";
import type { ClientOptions, EtcdClient } from "./etcd_client.ts";
import type { ProgressLine } from "./progress_line.ts";

/** Keys that one page of a list holds. */
const PAGE_KEYS = 5000;

/** What can be wrong with servers; the codes never change. */
export type OnlineViolationCode =
  | "unreachable"
  | "alarm"
  | "cluster-mismatch"
  | "hash-mismatch"
  | "database-mismatch"
  | "count-mismatch";

export interface OnlineViolation {
  readonly code: OnlineViolationCode;
  readonly endpoint: string;
  readonly message: string;
}

/** What was found. */
export interface OnlineReport {
  readonly violations: readonly OnlineViolation[];
  /** The revision that all were looked at; undefined if no server answered. */
  readonly revision: number | undefined;
  readonly endpoints: readonly EndpointReport[];
}

/** What servers are compared with: what their database says. */
export interface ExpectedState {
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  readonly hash: number;
}

/** One server. */
export interface EndpointReport {
  readonly endpoint: string;
  readonly memberId: string;
  readonly hash: number;
  readonly compactRevision: number;
  readonly keys: number;
}

interface Server {
  readonly endpoint: string;
  readonly client: EtcdClient;
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: number;
}

/**
 * Compares running servers: all of one cluster, with equal hashes at one revision (where they are compacted
 * alike, as etcd compares them too), without alarms, and each with as many keys in its list as it counts. With
 * `expected`, at its revision, and with its hash.
 */
export async function checkEndpoints(
  options: ClientOptions,
  context: CommandContext,
  progress: ProgressLine,
  expected?: ExpectedState,
): Promise<OnlineReport> {
  const violations: OnlineViolation[] = [];
  const servers: Server[] = [];
  for (const endpoint of options.endpoints) {
    const client = openClient({ ...options, endpoints: [endpoint] }, context);
    progress.show(`asking ${endpoint}…`);
    try {
      servers.push(await serverOf(client, endpoint));
    } catch (error) {
      client.close();
      violations.push({
        code: "unreachable",
        endpoint,
        message: messageOf(error),
      });
    }
  }
  try {
    const revision = expected?.revision ??
      Math.min(...servers.map((each) => each.revision));
    const endpoints: EndpointReport[] = [];
    const hashes: [Server, HashKVResponse][] = [];
    for (const server of servers) {
      const { client, endpoint } = server;
      progress.show(`reading all keys of ${endpoint}…`);
      try {
        violations.push(...await alarmsOf(server));
        // It has applied all that was committed when it has answered this.
        await range(client, { key: LOWEST_KEY, countOnly: true });
        const hash = await client.unary(
          MaintenanceService.methods.hashKV,
          newHashKVRequest({ revision }),
        );
        hashes.push([server, hash]);
        const keys = await checkKeys(server, revision, violations);
        endpoints.push({
          endpoint,
          memberId: idText(server.memberId),
          hash: hash.hash,
          compactRevision: Math.max(hash.compactRevision, 0),
          keys,
        });
      } catch (error) {
        violations.push({
          code: "unreachable",
          endpoint,
          message: messageOf(error),
        });
      }
    }
    compare(hashes, violations);
    if (expected !== undefined) compareWith(expected, hashes, violations);
    return {
      violations,
      revision: servers.length === 0 ? undefined : revision,
      endpoints,
    };
  } finally {
    for (const { client } of servers) client.close();
  }
}

async function serverOf(
  client: EtcdClient,
  endpoint: string,
): Promise<Server> {
  const status = await client.unary(MaintenanceService.methods.status, {});
  const { clusterId, memberId, revision } = decodeResponseHeader(
    status.header!,
  );
  return { endpoint, client, clusterId, memberId, revision };
}

async function alarmsOf(
  { client, endpoint, memberId }: Server,
): Promise<OnlineViolation[]> {
  const { alarms } = await client.unary(
    MaintenanceService.methods.alarm,
    newAlarmRequest({ action: AlarmRequest_AlarmAction.GET }),
  );
  // One of nobody, 0, was set by hand, and stops every server's writes.
  return alarms.filter(({ memberID }) =>
    memberID === memberId || memberID === 0n
  )
    .map(({ alarm }) => {
      const name = Object.entries(AlarmType).find(([, id]) => id === alarm);
      return { code: "alarm", endpoint, message: name?.[0] ?? `${alarm}` };
    });
}

/** Lists all keys, a page at a time, and compares with what the server counts at once. */
async function checkKeys(
  { client, endpoint }: Server,
  revision: number,
  violations: OnlineViolation[],
): Promise<number> {
  const all = { key: LOWEST_KEY, rangeEnd: LOWEST_KEY, revision };
  const { count } = await range(client, { ...all, countOnly: true });
  const pages = pagesOf(client, { ...all, keysOnly: true, limit: PAGE_KEYS });
  let listed = 0;
  for await (const page of pages) listed += page.length;
  if (listed !== count) {
    violations.push({
      code: "count-mismatch",
      endpoint,
      message:
        `it counts ${count} keys at revision ${revision}, and lists ${listed}`,
    });
  }
  return listed;
}

function compare(
  hashes: readonly [Server, HashKVResponse][],
  violations: OnlineViolation[],
): void {
  const [first, ...others] = hashes;
  if (first === undefined) return;
  for (const [server, hash] of others) {
    const { endpoint } = server;
    if (server.clusterId !== first[0].clusterId) {
      violations.push({
        code: "cluster-mismatch",
        endpoint,
        message: `its cluster is ${idText(server.clusterId)}, that of ${
          first[0].endpoint
        } is ${idText(first[0].clusterId)}`,
      });
      continue;
    }
    // Among servers that are compacted alike; others still have what is gone here.
    const [peer, expected] = hashes.find(([, each]) =>
      each.compactRevision === hash.compactRevision
    )!;
    if (expected.hash === hash.hash) continue;
    violations.push({
      code: "hash-mismatch",
      endpoint,
      message:
        `its hash is ${hash.hash}, that of ${peer.endpoint} is ${expected.hash}`,
    });
  }
}

/** Servers that are compacted alike; one that was compacted meanwhile cannot tell. */
function compareWith(
  expected: ExpectedState,
  hashes: readonly [Server, HashKVResponse][],
  violations: OnlineViolation[],
): void {
  const { hash, compactRevision, revision } = expected;
  for (const [{ endpoint }, found] of hashes) {
    const isAlike = Math.max(found.compactRevision, 0) ===
      Math.max(compactRevision, 0);
    if (!isAlike || found.hash === hash) continue;
    violations.push({
      code: "database-mismatch",
      endpoint,
      message:
        `its hash at revision ${revision} is ${found.hash}, the database's is ${hash}: start it again, and it reads the database`,
    });
  }
}

function messageOf(error: unknown): string {
  if (error instanceof CallError) return error.message;
  throw error;
}
