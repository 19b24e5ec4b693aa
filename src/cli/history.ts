import { Command } from "commander";
import { EMPTY, utf8 } from "../base/bytes.ts";
import { Event_EventType, type KeyValue } from "../pb/mvccpb.ts";
import { changes, CompactedError } from "./change_watch.ts";
import {
  addClientOptions,
  addOutputOption,
  type ClientFlags,
  outputFormat,
  withClient,
} from "./client_options.ts";
import {
  currentRevision,
  idText,
  pagesOf,
  prefixRange,
  range,
} from "./cluster_reads.ts";
import {
  attempt,
  type CommandContext,
  integerFrom,
  UsageError,
} from "./command_context.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { type Cell, type Column, RowWriter } from "./output.ts";
import { ExitStatus } from "./process.ts";
import { addValueOptions, type ValueFlags } from "./value_options.ts";
import {
  jsonBytes,
  shortened,
  shownBytes,
  type ValueFormat,
} from "./value_text.ts";

interface HistoryFlags extends ClientFlags, ValueFlags {
  readonly from?: number;
  readonly to?: number;
  readonly at?: number;
  readonly limit?: number;
  readonly prefix?: boolean;
}

/** One version of a key, or its end. */
interface Change {
  readonly kind: "put" | "delete";
  readonly revision: number;
  readonly key: Uint8Array;
  /** Puts since the key came into being; of a deletion, how many there had been. */
  readonly version: number | undefined;
  /** 0 for none; of a deletion, the one that the key was attached to. */
  readonly lease: bigint;
  readonly value: Uint8Array | undefined;
  /** The revision of the version that this one took the place of. */
  readonly replaces: number | undefined;
}

/** Keys in one answer, when there may be many. */
const PAGE_KEYS = 500;
/** Characters of a value that are shown to people. */
const DEFAULT_WIDTH = 80;

/** `stele history`. */
export function historyCommand(context: CommandContext): Command {
  const command = new Command("history")
    .description(
      "Shows every change of a key that the server still has, oldest first: all since the revision it was compacted at, and how the key was then.",
    )
    .argument("<key>", "the key; with --prefix, how keys begin")
    .option("--prefix", "all keys that begin so; '' for all there are")
    .option("--from <revision>", "changes from this one on", integerFrom(1))
    .option("--to <revision>", "changes up to this one", integerFrom(1))
    .option("--limit <count>", "only the last so many", integerFrom(1))
    .option("--at <revision>", "the key as it was then", integerFrom(1))
    .addHelpText("after", EXAMPLES);
  addValueOptions(command, DEFAULT_WIDTH);
  addClientOptions(addOutputOption(command));
  return command.action((key: string, flags: HistoryFlags) => {
    const isRange = flags.from ?? flags.to ?? flags.limit;
    if (flags.at !== undefined && isRange !== undefined) {
      throw new UsageError("Cannot use --at with --from, --to or --limit");
    }
    if (key === "" && !flags.prefix) {
      throw new UsageError("Cannot use an empty key without --prefix");
    }
    return withClient(flags, context, (client) =>
      attempt(
        `read the history of "${key}"`,
        () => new History(client, key, flags, context).show(),
      ));
  });
}

const EXAMPLES = `
Examples:
  stele history /config/port                    every change
  stele history /config/port --at 1200          as it was at revision 1200
  stele history --prefix /config/ --limit 20    the last 20 changes of any of these keys
  stele history /config/port -w json --values base64`;

/** Reads and shows the history of one key or prefix. */
class History {
  readonly #client: EtcdClient;
  readonly #text: string;
  readonly #keys: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array };
  readonly #flags: HistoryFlags;
  readonly #context: CommandContext;
  readonly #isJson: boolean;
  readonly #writer: RowWriter;
  /** The oldest readable revision, if that cut something off; else 0. */
  #compacted = 0;

  constructor(
    client: EtcdClient,
    text: string,
    flags: HistoryFlags,
    context: CommandContext,
  ) {
    this.#client = client;
    this.#text = text;
    this.#keys = flags.prefix
      ? prefixRange(text)
      : { key: utf8(text), rangeEnd: EMPTY };
    this.#flags = flags;
    this.#context = context;
    const format = outputFormat(flags, context.process);
    this.#isJson = format === "json";
    this.#writer = new RowWriter(context.process, format, columnsOf(flags));
  }

  async show(): Promise<void> {
    const { at } = this.#flags;
    const count = at === undefined
      ? await this.#showChanges()
      : await this.#showState(at);
    this.#writer.flush();
    if (count > 0) return;
    if (at === undefined) {
      this.#note(`No changes of "${this.#text}"`);
    } else {
      this.#note(`No value of "${this.#text}" at revision ${at}`);
      this.#context.exitStatus = ExitStatus.Failed;
    }
  }

  /** Returns how many there were. */
  async #showChanges(): Promise<number> {
    const { from = 1, to, limit } = this.#flags;
    const newest = await currentRevision(this.#client, this.#keys.key);
    const last = Math.min(to ?? newest, newest);
    let count = 0;
    // With a limit, older ones are forgotten as newer ones come.
    const kept: Change[] = [];
    for await (const change of this.#changes(from, last)) {
      count++;
      if (limit === undefined) {
        this.#write(change);
      } else {
        kept.push(change);
        if (kept.length > limit) kept.shift();
      }
    }
    for (const change of kept) this.#write(change);
    this.#writer.flush();
    if (this.#compacted > 0) {
      this.#note(
        `Older changes are compacted; ${this.#compacted} is the oldest revision`,
      );
    }
    return count;
  }

  /** From `from` to `last`; where the beginning is compacted, what the compaction left of it. */
  async *#changes(
    from: number,
    last: number,
  ): AsyncGenerator<Change, void, undefined> {
    let isBegun = false;
    try {
      for await (const change of this.#events(from, last)) {
        isBegun = true;
        yield change;
      }
      return;
    } catch (error) {
      // A compaction half-way would make a gap.
      if (!(error instanceof CompactedError) || isBegun) throw error;
      this.#compacted = error.compactRevision;
    }
    const left: Change[] = [];
    for await (const page of this.#state(this.#compacted)) {
      left.push(...page.map((kv) => changeOf(kv)));
    }
    left.sort((a, b) => a.revision - b.revision);
    yield* left.filter(({ revision }) => revision >= from && revision <= last);
    yield* this.#events(this.#compacted + 1, last);
  }

  async *#events(
    from: number,
    to: number,
  ): AsyncGenerator<Change, void, undefined> {
    const events = changes(this.#client, { ...this.#keys, from, to });
    for await (const { type, kv, prevKv } of events) {
      yield type === Event_EventType.DELETE
        ? deletionOf(kv!, prevKv)
        : changeOf(kv!, prevKv);
    }
  }

  async #showState(revision: number): Promise<number> {
    let count = 0;
    for await (const page of this.#state(revision)) {
      for (const kv of page) {
        count++;
        this.#write(changeOf(kv));
      }
    }
    return count;
  }

  async *#state(revision: number): AsyncGenerator<KeyValue[], void, undefined> {
    // A revision that is not there must fail before a page does: an empty range is no error.
    await range(this.#client, { ...this.#keys, revision, countOnly: true });
    yield* pagesOf(this.#client, {
      ...this.#keys,
      revision,
      limit: PAGE_KEYS,
    });
  }

  #write(change: Change): void {
    const { values, width } = this.#flags;
    const { kind, revision, version, lease, value, replaces } = change;
    const row: Record<string, Cell> = {
      revision,
      kind,
      version,
      lease: lease === 0n ? undefined : idText(lease),
      size: value?.length,
      replaces,
    };
    if (this.#isJson) {
      Object.assign(row, jsonBytes("key", change.key, keyFormat(values)));
      if (value !== undefined) {
        Object.assign(row, jsonBytes("value", value, values));
      }
    } else {
      row.key = shownBytes(change.key, keyFormat(values));
      row.value = value && shortened(shownBytes(value, values), width);
    }
    this.#writer.write(row);
  }

  /** For people, beside the data. */
  #note(text: string): void {
    if (!this.#isJson) this.#context.process.stderr(`${text}\n`);
  }
}

function columnsOf({ prefix, values }: HistoryFlags): readonly Column[] {
  const columns: Column[] = [
    { title: "REVISION", name: "revision", align: "right" },
    { title: "CHANGE", name: "kind" },
    { title: "VERSION", name: "version", align: "right" },
    { title: "LEASE", name: "lease" },
    { title: "", name: "replaces", only: "json" },
    { title: "SIZE", name: "size", align: "right" },
  ];
  const key: Column = { title: "KEY", name: "key" };
  columns.push(prefix ? key : { ...key, only: "json" });
  columns.push({ title: "", name: "keyBase64", only: "json" });
  if (values !== "none") {
    columns.push({ title: "VALUE", name: "value" });
    columns.push({ title: "", name: "valueBase64", only: "json" });
  }
  return columns;
}

/** Keys are shown even where values are not. */
function keyFormat(values: ValueFormat): ValueFormat {
  return values === "none" ? "text" : values;
}

function changeOf(kv: KeyValue, previous?: KeyValue): Change {
  const { key, version, lease, value } = kv;
  return {
    kind: "put",
    revision: kv.modRevision,
    key,
    version,
    lease,
    value,
    replaces: previous?.modRevision,
  };
}

function deletionOf(kv: KeyValue, previous: KeyValue | undefined): Change {
  return {
    kind: "delete",
    revision: kv.modRevision,
    key: kv.key,
    version: previous?.version,
    lease: previous?.lease ?? 0n,
    value: undefined,
    replaces: previous?.modRevision,
  };
}
