import type { ErrorKind } from "../base/errors.ts";
import { DomainError } from "../base/errors.ts";
import { isEmptyRange, type KeyRange } from "../mvcc/key_range.ts";
import type { EventSource } from "../mvcc/event.ts";
import type { WatchResponse } from "../pb/etcdserverpb.ts";
import type { InterestIndex } from "./interest_index.ts";
import type { EventResponses, ResponseEncoder } from "./response_encoder.ts";
import type { WatchOptions } from "./watch_options.ts";
import { Watcher, WatcherState } from "./watcher.ts";

/** The watch id that stands for no watcher, or for all of the stream's. */
const NO_WATCHER = -1n;

/** Watchers whose history was gone that a stream remembers; for older ones, a cancel goes unanswered. */
const MAX_COMPACTED = 1024;

/** What a stream needs of its gRPC call. */
export interface WatchWriter {
  sendEncoded(message: Uint8Array): void;
  readonly bufferedBytes: number;
  onDrain: (() => void) | undefined;
}

/** A watcher that a client asks for. */
export interface WatchRequest {
  readonly range: KeyRange;
  /** First revision; 0 for what comes after the watcher was made. */
  readonly startRevision: number;
  /** 0 lets the stream choose. */
  readonly id: bigint;
  readonly progressNotify: boolean;
  readonly prevKv: boolean;
  readonly skipPuts: boolean;
  readonly skipDeletes: boolean;
  readonly fragment: boolean;
}

/** Why a watcher was not made. */
export type WatchProblem = "emptyRange" | "duplicateId" | "tooManyWatchers";

/** What a stream needs of the hub. */
export interface StreamHost {
  readonly source: EventSource;
  readonly index: InterestIndex;
  readonly encoder: ResponseEncoder;
  readonly options: WatchOptions;
  /** What synced watchers have been offered everything up to. Means nothing if there are none. */
  readonly offeredRevision: number;
  /** Brings a new watcher into the state that its first revision calls for. */
  admit(watcher: Watcher, request: WatchRequest): void;
  /** Lets a watcher go for good. */
  remove(watcher: Watcher): void;
  /** Lets a watcher whose stream has drained read on. */
  resume(watcher: Watcher): void;
  closed(stream: WatchStream): void;
  countSent(events: number): void;
}

/**
 * The watchers of one gRPC stream, and what they share: ids, the buffer, and the order of responses.
 *
 * Everything is put into the writer's queue at once and in order, so that an answer stands behind all
 * events that were there before it. What bounds the queue: events are not sent while the stream is full
 * (`maxStreamBufferBytes`), and a client that goes on asking then without reading loses its stream.
 */
export class WatchStream {
  readonly #watchers = new Map<bigint, Watcher>();
  readonly #out: WatchWriter;
  readonly #host: StreamHost;
  readonly #fail: (error: DomainError) => void;
  readonly #maxBufferBytes: number;
  /** Watchers whose history was gone: etcd still answers their cancel, which Go's client sends and waits for. */
  readonly #compacted = new Set<bigint>();
  #slow: Watcher[] = [];
  #nextId = 0n;
  #unreadControlBytes = 0;
  #isClosed = false;
  /** Watchers in state `Synced`; the hub counts. */
  syncedCount = 0;

  /** `fail` ends the call; the stream is closed by then. */
  constructor(
    out: WatchWriter,
    host: StreamHost,
    fail: (error: DomainError) => void,
  ) {
    this.#out = out;
    this.#host = host;
    this.#fail = fail;
    this.#maxBufferBytes = host.options.maxStreamBufferBytes;
    out.onDrain = () => this.#drained();
  }

  get size(): number {
    return this.#watchers.size;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether the client leaves so much unread that no more events are sent. */
  get isFull(): boolean {
    return this.#out.bufferedBytes > this.#maxBufferBytes;
  }

  watchers(): Iterable<Watcher> {
    return this.#watchers.values();
  }

  /** Makes a watcher and says so to the client, or returns why not and says nothing. */
  create(request: WatchRequest): WatchProblem | undefined {
    if (this.#isClosed) return undefined;
    if (isEmptyRange(request.range)) return "emptyRange";
    if (request.id !== 0n && this.#watchers.has(request.id)) {
      return "duplicateId";
    }
    if (this.#watchers.size >= this.#host.options.maxWatchersPerStream) {
      return "tooManyWatchers";
    }
    const id = request.id === 0n ? this.#freeId() : request.id;
    const group = this.#host.index.acquire(request.range).group({
      id,
      prevKv: request.prevKv,
      skipPuts: request.skipPuts,
      skipDeletes: request.skipDeletes,
      fragment: request.fragment,
    });
    const next = request.startRevision || this.#host.source.currentRevision + 1;
    const watcher = new Watcher(this, group, next);
    group.members++;
    this.#watchers.set(id, watcher);
    this.#compacted.delete(id);
    // Nothing is sent for it within this turn, so that `created` comes first.
    this.#host.admit(watcher, request);
    this.#answer({ watchId: id, created: true });
    return undefined;
  }

  /** Tells the client that a watcher was not made. */
  refuse(reason: string): void {
    this.#answer({
      watchId: NO_WATCHER,
      created: true,
      canceled: true,
      cancelReason: reason,
    });
  }

  /** Ends a watcher at the client's wish; an unknown id is ignored. */
  cancel(id: bigint): void {
    const watcher = this.#watchers.get(id);
    if (watcher !== undefined) {
      this.#watchers.delete(id);
      this.#host.remove(watcher);
    } else if (!this.#compacted.delete(id)) return;
    this.#answer({ watchId: id, canceled: true });
  }

  /** Tells the client the revision up to which all watchers have been offered everything, if they are synced. */
  requestProgress(): void {
    const { size } = this.#watchers;
    if (size === 0 || this.syncedCount < size) return;
    this.#answer({ watchId: NO_WATCHER }, this.#host.offeredRevision);
  }

  /** Tells a synced watcher how far it is, unless the client does not read anyway. */
  notifyProgress(id: bigint): void {
    if (this.isFull) return;
    this.#send({ watchId: id }, this.#host.offeredRevision);
  }

  /** Ends a watcher whose history is gone. */
  cancelCompacted(id: bigint, compactRevision: number): void {
    const watcher = this.#watchers.get(id)!;
    this.#watchers.delete(id);
    this.#host.remove(watcher);
    if (this.#compacted.size === MAX_COMPACTED) {
      for (const oldest of this.#compacted) {
        this.#compacted.delete(oldest);
        break;
      }
    }
    this.#compacted.add(id);
    const { encoder } = this.#host;
    // etcd names no revision in this header.
    this.#out.sendEncoded(
      encoder.control(0, { watchId: id, canceled: true, compactRevision }),
    );
  }

  /** Sends responses until the stream is full; returns the revision that is to be sent next, or 0 for all sent. */
  deliver(responses: EventResponses): number {
    const out = this.#out;
    const { messages, resumeRevisions, eventCounts } = responses;
    for (let i = 0; i < messages.length; i++) {
      const resume = resumeRevisions[i]!;
      if (resume !== 0 && out.bufferedBytes > this.#maxBufferBytes) {
        return resume;
      }
      out.sendEncoded(messages[i]!);
      this.#host.countSent(eventCounts[i]!);
    }
    return 0;
  }

  /** Remembers a watcher until the stream has drained. */
  hold(watcher: Watcher): void {
    this.#slow.push(watcher);
  }

  /** Lets all watchers go; the call is over. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#out.onDrain = undefined;
    for (const watcher of this.#watchers.values()) this.#host.remove(watcher);
    this.#watchers.clear();
    this.#slow = [];
    this.#host.closed(this);
  }

  /** Lets all watchers go and ends the call. */
  fail(kind: ErrorKind): void {
    if (this.#isClosed) return;
    this.close();
    this.#fail(new DomainError(kind));
  }

  #freeId(): bigint {
    while (this.#watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #drained(): void {
    this.#unreadControlBytes = 0;
    const slow = this.#slow;
    if (slow.length === 0) return;
    this.#slow = [];
    for (const watcher of slow) {
      if (watcher.state === WatcherState.Slow) this.#host.resume(watcher);
    }
  }

  /** Sends what the client asked for. */
  #answer(
    response: Partial<WatchResponse>,
    revision = this.#host.source.currentRevision,
  ): void {
    if (this.#isClosed) return;
    const bytes = this.#send(response, revision);
    if (!this.isFull) return;
    this.#unreadControlBytes += bytes;
    if (this.#unreadControlBytes > this.#host.options.maxUnreadControlBytes) {
      this.fail("tooManyRequests");
    }
  }

  #send(response: Partial<WatchResponse>, revision: number): number {
    const bytes = this.#host.encoder.control(revision, response);
    this.#out.sendEncoded(bytes);
    return bytes.length;
  }
}
