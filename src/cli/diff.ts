import { Command } from "commander";
import type { KeyValue } from "../pb/mvccpb.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  outputFormat,
  withClient,
} from "./client_options.ts";
import { currentRevision, idText, prefixRange } from "./cluster_reads.ts";
import {
  attempt,
  type CommandContext,
  integerFrom,
} from "./command_context.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { type Cell, type Column, counted, RowWriter } from "./output.ts";
import { ExitStatus } from "./process.ts";
import {
  type Difference,
  type DifferenceKind,
  differences,
} from "./revision_diff.ts";
import { addValueOptions, type ValueFlags } from "./value_options.ts";
import { jsonBytes, shortened, shownBytes } from "./value_text.ts";

interface DiffFlags extends ClientFlags, ValueFlags {
  readonly from: number;
  readonly to?: number;
  readonly all?: boolean;
  readonly exitCode?: boolean;
}

/** Characters of a value that are shown to people: there may be two beside each other. */
const DEFAULT_WIDTH = 40;

const MARKS: Readonly<Record<DifferenceKind, string>> = {
  added: "+",
  removed: "-",
  changed: "~",
  rewritten: "=",
};

/** `stele diff`. */
export function diffCommand(context: CommandContext): Command {
  const command = new Command("diff")
    .description(
      "Shows which keys were added (+), removed (-) and changed (~) from one revision to another, in key order.",
    )
    .argument("[prefix]", "only keys that begin so; default: all", "")
    .requiredOption("--from <revision>", "the first", integerFrom(1))
    .option("--to <revision>", "the second; default: now", integerFrom(1))
    .option(
      "--all",
      "keys, too, that were written again with what they held (=)",
    )
    .option("--exit-code", "end with status 1 if there is a difference")
    .addHelpText("after", EXAMPLES);
  addValueOptions(command, DEFAULT_WIDTH);
  addClientOptions(addOutputOption(command));
  return command.action((prefix: string, flags: DiffFlags) =>
    withClient(flags, context, async (client) => {
      const counts = await attempt(
        "compare the revisions",
        () => show(client, prefix, flags, context),
      );
      const isDifferent = counts.added + counts.removed + counts.changed > 0;
      if (flags.exitCode && isDifferent) {
        context.exitStatus = ExitStatus.Failed;
      }
    })
  );
}

const EXAMPLES = `
Examples:
  stele diff --from 1200                        what has changed since revision 1200
  stele diff --from 1200 --to 1300 /config/     between the two, below /config/
  stele diff --from 1200 -w json --values base64`;

type Counts = Record<DifferenceKind, number>;

async function show(
  client: EtcdClient,
  prefix: string,
  flags: DiffFlags,
  { process }: CommandContext,
): Promise<Counts> {
  const keys = prefixRange(prefix);
  const { from, to = await currentRevision(client, keys.key) } = flags;
  const format = outputFormat(flags, process);
  const isJson = format === "json";
  const writer = new RowWriter(process, format, columnsOf(flags));
  const counts: Counts = { added: 0, removed: 0, changed: 0, rewritten: 0 };
  for await (const each of differences(client, { ...keys, from, to })) {
    counts[each.kind]++;
    if (each.kind === "rewritten" && !flags.all) continue;
    writer.write(isJson ? jsonRow(each, flags) : shownRow(each, flags));
  }
  const { added, removed, changed, rewritten } = counts;
  if (isJson) return counts;
  if (added + removed + changed + (flags.all ? rewritten : 0) > 0) {
    writer.flush();
  }
  const again = rewritten > 0 ? `, ${rewritten} rewritten as they were` : "";
  process.stdout(
    `Revision ${from} to ${to}: ${
      counted(added, "key")
    } added, ${removed} removed, ${changed} changed${again}\n`,
  );
  return counts;
}

function columnsOf({ values }: DiffFlags): readonly Column[] {
  const columns: Column[] = [
    { title: "", name: "mark", only: "people" },
    { title: "", name: "kind", only: "json" },
    { title: "KEY", name: "key" },
    { title: "", name: "keyBase64", only: "json" },
    { title: "FROM", name: "fromRevision", align: "right", only: "people" },
    { title: "TO", name: "toRevision", align: "right", only: "people" },
    { title: "", name: "before", only: "json" },
    { title: "", name: "after", only: "json" },
  ];
  if (values === "none") return columns;
  return [
    ...columns,
    { title: "BEFORE", name: "oldValue", only: "people" },
    { title: "AFTER", name: "newValue", only: "people" },
  ];
}

function shownRow(
  { kind, key, before, after }: Difference,
  { values, width }: DiffFlags,
): Record<string, Cell> {
  const valueOf = (kv: KeyValue | undefined) =>
    kv && shortened(shownBytes(kv.value, values), width);
  return {
    mark: MARKS[kind],
    key: shownBytes(key, values === "none" ? "text" : values),
    fromRevision: before?.modRevision,
    toRevision: after?.modRevision,
    oldValue: valueOf(before),
    newValue: valueOf(after),
  };
}

function jsonRow(
  { kind, key, before, after }: Difference,
  { values }: DiffFlags,
): Record<string, Cell> {
  const stateOf = (kv: KeyValue | undefined) =>
    kv && {
      createRevision: kv.createRevision,
      modRevision: kv.modRevision,
      version: kv.version,
      ...(kv.lease !== 0n && { lease: idText(kv.lease) }),
      size: kv.value.length,
      ...jsonBytes("value", kv.value, values),
    };
  return {
    kind,
    ...jsonBytes("key", key, values === "none" ? "text" : values),
    before: stateOf(before),
    after: stateOf(after),
  };
}
