import { assert } from "../base/assert.ts";
import type { Event } from "../mvcc/event.ts";
import {
  encodeWatchResponse,
  newWatchResponse,
  type WatchResponse,
} from "../pb/etcdserverpb.ts";
import { sizeDelimited, writeBytes } from "../pb/wire.ts";
import type { WatchOptions } from "./watch_options.ts";
import type { WatcherGroup } from "./watcher_group.ts";

/** Makes the headers of responses. */
export interface Headers {
  /** Wire bytes of the ResponseHeader at a revision; 0 leaves the revision out. */
  at(revision: number): Uint8Array;
}

/** Events of one or more whole revisions as responses that are ready to be sent, in order. */
export class EventResponses {
  readonly messages: Uint8Array[] = [];
  /**
   * Where a watcher goes on that did not get a message and what follows it; 0 if it must not stop here,
   * since the message before it began the same revision.
   */
  readonly resumeRevisions: number[] = [];
  /** Events in each message. */
  readonly eventCounts: number[] = [];
  /** Size of all messages. */
  bytes = 0;
}

// Tags of WatchResponse's fields.
const HEADER = 0x0a;
const FRAGMENT = 0x38;
const EVENTS = 0x5a;

/**
 * Encodes what the hub sends.
 *
 * Events of several revisions share a response up to `maxResponseBytes`; a revision is never cut, except
 * for watchers that asked for fragments, and then between two events. The header's revision is never
 * beyond what the response, or one before it, brought: it may be taken as progress.
 */
export class ResponseEncoder {
  readonly #maxResponseBytes: number;
  readonly #fragmentBytes: number;

  constructor(
    readonly headers: Headers,
    { maxResponseBytes, fragmentBytes }: Pick<
      WatchOptions,
      "maxResponseBytes" | "fragmentBytes"
    >,
  ) {
    this.#maxResponseBytes = maxResponseBytes;
    this.#fragmentBytes = fragmentBytes;
  }

  /**
   * `events` are not empty, in order, and all that the group's watchers get from their first revision up
   * to `throughRevision`, which the last response's header names.
   */
  events(
    group: WatcherGroup,
    events: readonly Event[],
    throughRevision: number,
  ): EventResponses {
    const out = new EventResponses();
    const { prevKv } = group;
    const count = events.length;
    let first = 0;
    while (first < count) {
      let end = first;
      let bytes = 0;
      let endRevision = 0;
      for (let i = first; i < count;) {
        const { rev } = events[i]!;
        let revisionBytes = 0;
        while (i < count && events[i]!.rev === rev) {
          revisionBytes += sizeOf(events[i++]!, prevKv);
        }
        if (end > first && bytes + revisionBytes > this.#maxResponseBytes) {
          break;
        }
        bytes += revisionBytes;
        end = i;
        endRevision = rev;
      }
      const header = this.headers.at(
        end === count ? throughRevision : endRevision,
      );
      this.#whole(out, header, group, events, first, end, bytes);
      first = end;
    }
    return out;
  }

  /** Everything but events. */
  control(revision: number, init: Partial<WatchResponse>): Uint8Array {
    const header = this.headers.at(revision);
    return encodeWatchResponse(newWatchResponse({ ...init, header }));
  }

  /** One response with events[first, end), or its fragments. */
  #whole(
    out: EventResponses,
    header: Uint8Array,
    group: WatcherGroup,
    events: readonly Event[],
    first: number,
    end: number,
    eventBytes: number,
  ): void {
    const headBytes = sizeOfHead(header, group);
    const resume = events[first]!.rev;
    if (
      !group.fragment || end - first < 2 ||
      headBytes + eventBytes < this.#fragmentBytes
    ) {
      const bytes = headBytes + eventBytes;
      push(out, encode(bytes, header, group, false, events, first, end), {
        resume,
        count: end - first,
      });
      return;
    }
    // As etcd cuts (v3rpc/watch.go, sendFragments): a part stays below the limit or holds one event.
    let start = first;
    while (start < end) {
      let bytes = headBytes + 2 + sizeOf(events[start]!, group.prevKv);
      let stop = start + 1;
      while (stop < end) {
        const more = sizeOf(events[stop]!, group.prevKv);
        if (bytes + more >= this.#fragmentBytes) break;
        bytes += more;
        stop++;
      }
      const isLast = stop === end;
      if (isLast) bytes -= 2;
      push(out, encode(bytes, header, group, !isLast, events, start, stop), {
        resume: start === first ? resume : 0,
        count: stop - start,
      });
      start = stop;
    }
  }
}

function push(
  out: EventResponses,
  message: Uint8Array,
  { resume, count }: { resume: number; count: number },
): void {
  out.messages.push(message);
  out.bytes += message.length;
  out.resumeRevisions.push(resume);
  out.eventCounts.push(count);
}

function wireOf(event: Event, prevKv: boolean): Uint8Array {
  if (!prevKv) return event.wire;
  const wire = event.wireWithPrevious;
  assert(
    wire !== undefined,
    "what came before an event is known when it is sent",
  );
  return wire;
}

function sizeOf(event: Event, prevKv: boolean): number {
  return 1 + sizeDelimited(wireOf(event, prevKv).length);
}

function sizeOfHead(header: Uint8Array, { idField }: WatcherGroup): number {
  return 1 + sizeDelimited(header.length) + idField.length;
}

function encode(
  bytes: number,
  header: Uint8Array,
  { idField, prevKv }: WatcherGroup,
  fragment: boolean,
  events: readonly Event[],
  first: number,
  end: number,
): Uint8Array {
  const out = new Uint8Array(bytes);
  out[0] = HEADER;
  let at = writeBytes(out, 1, header);
  for (let i = 0; i < idField.length; i++) out[at++] = idField[i]!;
  if (fragment) {
    out[at++] = FRAGMENT;
    out[at++] = 1;
  }
  for (let i = first; i < end; i++) {
    out[at++] = EVENTS;
    at = writeBytes(out, at, wireOf(events[i]!, prevKv));
  }
  assert(at === bytes, "a response has the size that was computed");
  return out;
}
