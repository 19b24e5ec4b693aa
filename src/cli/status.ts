import { Command } from "commander";
import {
  AlarmRequest_AlarmAction,
  AlarmType,
  ClusterService,
  decodeResponseHeader,
  type HashKVResponse,
  MaintenanceService,
  newAlarmRequest,
  newHashKVRequest,
  newMemberListRequest,
  type StatusResponse,
} from "../pb/etcdserverpb.ts";
import { CallError } from "./call_error.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  clientOptions,
  openClient,
  outputFormat,
} from "./client_options.ts";
import { idText } from "./cluster_reads.ts";
import { attempt, type CommandContext } from "./command_context.ts";
import type { ClientOptions, EtcdClient } from "./etcd_client.ts";
import { byteSize, type Cell, type Column, RowWriter } from "./output.ts";
import { ExitStatus } from "./process.ts";

interface StatusFlags extends ClientFlags {
  readonly cluster?: boolean;
  /** False with `--no-hash`. */
  readonly hash: boolean;
}

const COLUMNS: readonly Column[] = [
  { title: "ENDPOINT", name: "endpoint" },
  { title: "ID", name: "memberId" },
  { title: "VERSION", name: "version" },
  { title: "DB SIZE", name: "dbSizeText", align: "right", only: "people" },
  { title: "", name: "dbSize", only: "json" },
  { title: "IN USE", name: "inUseText", align: "right", only: "people" },
  { title: "", name: "dbSizeInUse", only: "json" },
  { title: "QUOTA USED", name: "quotaUsed", align: "right", only: "people" },
  { title: "", name: "dbSizeQuota", only: "json" },
  { title: "LEADER", name: "isLeader" },
  { title: "REVISION", name: "revision", align: "right" },
  { title: "COMPACTED", name: "compactRevision", align: "right" },
  { title: "HASH", name: "hash", align: "right" },
  { title: "ERRORS", name: "errors" },
];

/** `stele status`. */
export function statusCommand(context: CommandContext): Command {
  const command = new Command("status")
    .description(
      "Shows how servers are: sizes, revisions, alarms and hashes. Ends with status 1 if one does not answer.",
    )
    .option("--cluster", "every member of the cluster, by what it advertises")
    .option("--no-hash", "leave out the hash, which reads all keys")
    .addHelpText("after", EXAMPLES);
  addClientOptions(addOutputOption(command));
  return command.action(async (flags: StatusFlags) => {
    const { process } = context;
    const options = await clientOptions(flags, context);
    const endpoints = flags.cluster
      ? await attempt("list the members", () => clientUrls(options, context))
      : options.endpoints;
    const rows = await Promise.all(
      endpoints.map((endpoint) =>
        rowOf({ ...options, endpoints: [endpoint] }, flags, context)
      ),
    );
    const writer = new RowWriter(
      process,
      outputFormat(flags, process),
      COLUMNS,
    );
    for (const row of rows) writer.write(row);
    writer.flush();
    if (rows.some((row) => row.memberId === undefined)) {
      context.exitStatus = ExitStatus.Failed;
    }
  });
}

const EXAMPLES = `
Examples:
  stele status --endpoints http://a:2379,http://b:2379
  stele status --cluster -w json`;

async function clientUrls(
  options: ClientOptions,
  context: CommandContext,
): Promise<string[]> {
  using client = openClient(options, context);
  const { members } = await client.unary(
    ClusterService.methods.memberList,
    newMemberListRequest(),
  );
  return members.flatMap((member) => member.clientURLs);
}

async function rowOf(
  options: ClientOptions,
  flags: StatusFlags,
  context: CommandContext,
): Promise<Record<string, Cell>> {
  const endpoint = options.endpoints[0]!;
  using client = openClient(options, context);
  let status: StatusResponse;
  try {
    status = await client.unary(MaintenanceService.methods.status, {});
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    return { endpoint, errors: [error.message] };
  }
  const errors = [...status.errors];
  const { memberId, revision } = decodeResponseHeader(status.header!);
  for (const alarm of await alarmsOf(client, memberId, errors)) {
    // etcd has an alarm's name among the errors already.
    if (!errors.some((text) => text.includes(alarm))) errors.push(alarm);
  }
  const hash = flags.hash ? await hashOf(client, errors) : undefined;
  const { dbSize, dbSizeInUse, dbSizeQuota } = status;
  return {
    endpoint,
    memberId: idText(memberId),
    version: status.version,
    dbSizeText: byteSize(dbSize),
    dbSize,
    inUseText: byteSize(dbSizeInUse),
    dbSizeInUse,
    quotaUsed: dbSizeQuota > 0 ? percent(dbSizeInUse / dbSizeQuota) : undefined,
    dbSizeQuota,
    isLeader: status.leader === memberId,
    revision,
    compactRevision: hash && Math.max(hash.compactRevision, 0),
    hash: hash?.hash,
    errors,
  };
}

/** The member's alarms by name; if the server does not tell, why is added to `errors`. */
async function alarmsOf(
  client: EtcdClient,
  member: bigint,
  errors: string[],
): Promise<string[]> {
  try {
    const { alarms } = await client.unary(
      MaintenanceService.methods.alarm,
      newAlarmRequest({ action: AlarmRequest_AlarmAction.GET }),
    );
    return alarms.filter(({ memberID }) => memberID === member)
      .map(({ alarm }) => ALARM_NAMES.get(alarm) ?? `alarm ${alarm}`);
  } catch (error) {
    errors.push(`alarms: ${messageOf(error)}`);
    return [];
  }
}

const ALARM_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(AlarmType).map(([name, alarm]) => [alarm, name]),
);

async function hashOf(
  client: EtcdClient,
  errors: string[],
): Promise<HashKVResponse | undefined> {
  try {
    return await client.unary(
      MaintenanceService.methods.hashKV,
      newHashKVRequest(),
    );
  } catch (error) {
    errors.push(`hash: ${messageOf(error)}`);
    return undefined;
  }
}

function messageOf(error: unknown): string {
  if (error instanceof CallError) return error.message;
  throw error;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}
