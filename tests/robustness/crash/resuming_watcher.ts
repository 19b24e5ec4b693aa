import type { EtcdClient, Message } from "../../support/etcd_client.ts";
import type {
  KeyEvent,
  KeyVersion,
  LoggedRevision,
} from "../history/operation.ts";
import type { WatcherRecord } from "../history/watch_checker.ts";
import { versionOf } from "./recording_client.ts";

export interface WatcherOptions {
  readonly name: string;
  readonly key: string;
  /** Undefined: `key` alone. */
  readonly end?: string;
  readonly withPrevious?: boolean;
  readonly isFragmented?: boolean;
  /** The highest revision that anybody asked to compact so far. */
  readonly compactedTo: () => number;
  /** Called when a stream ends by itself. Default: does nothing. */
  readonly onLost?: () => void;
}

/** How often progress is asked for, besides what the server tells by itself. */
const PROGRESS_MS = 40;

/** A watcher that goes on where it was when its server died, as etcd's clients do. */
export class ResumingWatcher implements WatcherRecord {
  readonly name: string;
  readonly key: string;
  readonly end: string | undefined;
  readonly startRevision = 1;
  readonly withPrevious: boolean;
  readonly seen: WatcherRecord["seen"][number][] = [];
  /** Revision → when its first event came, by `performance.now()`. */
  readonly seenMs = new Map<number, number>();
  /** Whatever the server should not have sent. */
  readonly surprises: string[] = [];
  readonly #options: WatcherOptions;
  #next = 1;
  /** Fragments of one revision, which count when the last is there. */
  #fragments: Message[] = [];
  // deno-lint-ignore no-explicit-any
  #stream: any;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.name = options.name;
    this.key = options.key;
    this.end = options.end;
    this.withPrevious = options.withPrevious ?? false;
  }

  /** The first revision that it does not know yet. */
  get nextRevision(): number {
    return this.#next;
  }

  open(client: EtcdClient): void {
    const stream = client.watch.stream("Watch");
    this.#stream = stream;
    this.#fragments = [];
    stream.on("error", () => { // its server died, or `close`
      if (stream === this.#stream) this.#options.onLost?.();
    });
    stream.on("data", (message: Message) => {
      if (stream === this.#stream) this.#take(message);
    });
    this.#create();
    this.#timer = setInterval(() => {
      stream.write({ progress_request: {} });
    }, PROGRESS_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  /** What it saw, for one that watches all keys. */
  log(): LoggedRevision[] {
    const log: {
      revision: number;
      events: KeyEvent[];
      seenMs: number;
    }[] = [];
    for (const item of this.seen) {
      if (item.kind !== "event") continue;
      const { revision, event } = item.event;
      const last = log.at(-1);
      if (last?.revision === revision) last.events.push(event);
      else {
        const seenMs = this.seenMs.get(revision)!;
        log.push({ revision, events: [event], seenMs });
      }
    }
    return log;
  }

  #create(): void {
    this.#stream.write({
      create_request: {
        key: Buffer.from(this.key === "" ? "\0" : this.key),
        range_end: Buffer.from(this.end ?? ""),
        start_revision: this.#next,
        progress_notify: true,
        prev_kv: this.withPrevious,
        fragment: this.#options.isFragmented ?? false,
      },
    });
  }

  #take(message: Message): void {
    if (message.created) return;
    if (message.canceled) {
      const toRevision = Number(message.compact_revision);
      if (toRevision <= this.#next) {
        this.surprises.push(`cancelled: ${message.cancel_reason}`);
        return;
      }
      this.seen.push({ kind: "skipped", toRevision });
      this.#next = toRevision;
      this.#create();
      return;
    }
    if (message.events.length === 0) {
      const revision = Number(message.header.revision);
      this.seen.push({ kind: "progress", revision });
      this.#next = Math.max(this.#next, revision + 1);
      return;
    }
    this.#fragments.push(...message.events);
    if (message.fragment) return;
    for (const event of this.#fragments) this.#takeEvent(event);
    this.#fragments = [];
  }

  #takeEvent({ type, kv, prev_kv: previousKv }: Message): void {
    const revision = Number(kv.mod_revision);
    if (!this.seenMs.has(revision)) {
      this.seenMs.set(revision, performance.now());
    }
    const event: KeyEvent = type === "DELETE"
      ? { kind: "delete", key: kv.key.toString() }
      : { kind: "put", kv: versionOf(kv) };
    const previous: KeyVersion | undefined = previousKv
      ? versionOf(previousKv)
      : undefined;
    this.seen.push({
      kind: "event",
      event: {
        revision,
        event,
        ...(previous !== undefined && { previous }),
        mayLackPrevious: revision <= this.#options.compactedTo(),
      },
    });
    this.#next = revision + 1;
  }
}
