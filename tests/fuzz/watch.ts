import assert from "node:assert/strict";
import { text, utf8 } from "../../src/base/bytes.ts";
import {
  decodeWatchRequest,
  encodeWatchRequest,
  newWatchCancelRequest,
  newWatchCreateRequest,
  newWatchProgressRequest,
  newWatchRequest,
  type WatchCreateRequest,
  WatchCreateRequest_FilterType as FilterType,
  type WatchRequest,
} from "../../src/pb/etcdserverpb.ts";
import { WireError } from "../../src/pb/wire.ts";
import { watchMethod } from "../../src/rpc/watch.ts";
import type { Random } from "../support/random.ts";
import { FakeCall } from "../unit/transport/grpc/call_doubles.ts";
import type { FakeChange, FakeEvent } from "../unit/watch/fake_history.ts";
import { FakeWriter, type Received } from "../unit/watch/fake_writer.ts";
import { WatchFixture } from "../unit/watch/fixture.ts";
import { type FuzzTarget, mutate } from "./target.ts";

const STEPS = 80;
const COMPACT_REVISION = 4;
const KEYS = ["a", "aa", "b", "c", "\0"];
const RANGE_ENDS = ["", "", "\0", "b", "a", "z"];
const IDS = [0n, 0n, 0n, 1n, 5n, -1n, 2n ** 63n - 1n];

/**
 * Watch requests as clients must not send them: odd ranges, ids, revisions and filters, damaged on the way. Each
 * `create` is answered once and in order, and every watcher gets what the log says, in order and once.
 */
export const WATCH: FuzzTarget = {
  name: "watch",
  async run(random) {
    const fixture = new WatchFixture();
    const { history } = fixture;
    for (let i = 0; i < 8; i++) history.put(random.pick(KEYS));
    history.compact(COMPACT_REVISION);
    const writer = new EndingWriter();
    const call = watchMethod(fixture.hub, { requireRead: () => {} })
      .open(new FakeCall(), writer);
    const client = new Client();
    for (let i = 0; i < STEPS; i++) {
      const request = received(random, history.currentRevision);
      if (request !== undefined) {
        client.sends(request, history.currentRevision + 1);
        call.onMessage(request);
      }
      if (random.oneIn(2)) history.commit(...randomBatch(random));
      if (random.oneIn(3)) await fixture.settle();
    }
    await fixture.settle();
    for (const response of writer.take()) client.take(response);
    client.check(history.log);
    call.onCancel();
    fixture.assertEmpty();
  },
};

/** A writer of responses as the handler of a call sees it. */
class EndingWriter extends FakeWriter {
  readonly isEnded = false;

  send(): void {
    assert.fail("responses come encoded");
  }

  end(): void {
    assert.fail("nothing that a client sends here ends the stream");
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}

/** A watcher that a client asked for, and what it was told. */
interface Asked {
  readonly request: WatchCreateRequest;
  /** The first revision, whoever chose it. */
  readonly from: number;
  readonly seen: string[];
  isCanceled: boolean;
}

/** What a client asked for, in order, and what came of it. */
class Client {
  readonly #asked: Asked[] = [];
  #answered = 0;
  readonly #open = new Map<bigint, Asked>();
  /** Ids whose watchers compaction ended: a cancel of them is still answered. */
  readonly #compacted = new Set<bigint>();
  readonly #all: Asked[] = [];

  sends({ createRequest }: WatchRequest, nextRevision: number): void {
    if (createRequest === undefined) return;
    const from = createRequest.startRevision || nextRevision;
    const asked = { from, seen: [], isCanceled: false };
    this.#asked.push({ request: createRequest, ...asked });
  }

  take(response: Received): void {
    if (response.created) return this.#created(response);
    const watcher = this.#open.get(response.watchId64);
    if (response.canceled) {
      const wasCompacted = this.#compacted.delete(response.watchId64);
      if (watcher === undefined && wasCompacted) return;
      assert.ok(watcher !== undefined, "what is canceled was created");
      watcher.isCanceled = true;
      this.#open.delete(response.watchId64);
      if (response.compactRevision === 0) return;
      assert.equal(response.compactRevision, COMPACT_REVISION);
      assert.ok(watcher.from < COMPACT_REVISION);
      assert.deepEqual(watcher.seen, []);
      this.#compacted.add(response.watchId64);
      return;
    }
    if (response.events.length === 0) return; // progress
    assert.ok(watcher !== undefined, "events are for a watcher");
    for (const { type, kv, prevKv } of response.events) {
      const { key, modRevision } = kv!;
      const before = prevKv === undefined ? "" : ` ${prevKv.modRevision}`;
      watcher.seen.push(`${modRevision} ${type} ${text(key)}${before}`);
    }
  }

  /** Compares with the log. */
  check(log: readonly FakeEvent[]): void {
    assert.equal(this.#answered, this.#asked.length, "all were answered");
    for (const { request, from, seen, isCanceled } of this.#all) {
      const wanted = log
        .filter((event) => event.rev >= from && isWatched(request, event))
        .map(({ rev, deleted, key, previous }) => {
          const before = request.prevKv && previous !== undefined
            ? ` ${previous.modRevision}`
            : "";
          return `${rev} ${deleted ? 1 : 0} ${text(key)}${before}`;
        });
      if (isCanceled) wanted.length = Math.min(wanted.length, seen.length);
      assert.deepEqual(seen, wanted);
    }
  }

  #created({ watchId64, canceled }: Received): void {
    const asked = this.#asked[this.#answered++];
    assert.ok(asked !== undefined, "only what was asked for is created");
    const { request } = asked;
    const isWrong = request.startRevision < 0 || isEmpty(request) ||
      (request.watchId !== 0n && this.#open.has(request.watchId));
    assert.equal(canceled, isWrong);
    if (isWrong) return;
    if (request.watchId !== 0n) assert.equal(watchId64, request.watchId);
    assert.ok(!this.#open.has(watchId64), "an id has one watcher");
    this.#open.set(watchId64, asked);
    this.#compacted.delete(watchId64);
    this.#all.push(asked);
  }
}

/** Some revisions, each with the change of a key. */
function randomBatch(random: Random): FakeChange[][] {
  return Array.from({ length: 1 + random.int(4) }, () => [{
    key: random.pick(KEYS),
    value: random.oneIn(4) ? undefined : "value",
  }]);
}

/** As it comes out of the decoder; undefined: it does not. */
function received(random: Random, revision: number): WatchRequest | undefined {
  const bytes = encodeWatchRequest(randomRequest(random, revision));
  try {
    return decodeWatchRequest(random.oneIn(6) ? mutate(random, bytes) : bytes);
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
    return undefined;
  }
}

function randomRequest(random: Random, revision: number): WatchRequest {
  if (random.oneIn(6)) {
    const watchId = random.pick(IDS);
    return newWatchRequest({
      cancelRequest: newWatchCancelRequest({ watchId }),
    });
  }
  if (random.oneIn(6)) {
    return newWatchRequest({ progressRequest: newWatchProgressRequest() });
  }
  return newWatchRequest({
    createRequest: newWatchCreateRequest({
      key: utf8(random.pick(["", ...KEYS])),
      rangeEnd: utf8(random.pick(RANGE_ENDS)),
      startRevision: random.oneIn(2) ? 0 : random.pick([
        -1,
        1,
        COMPACT_REVISION,
        revision,
        revision + 3,
        2 ** 53,
      ]),
      watchId: random.pick(IDS),
      filters: random.oneIn(4) ? [random.int(4), random.int(2)] : [],
      prevKv: random.oneIn(2),
      progressNotify: random.oneIn(2),
      fragment: random.oneIn(3),
    }),
  });
}

/** etcd takes an empty key for the smallest one. */
function startOf({ key }: WatchCreateRequest): string {
  return key.length === 0 ? "\0" : latin1(key);
}

function isEmpty(request: WatchCreateRequest): boolean {
  const end = latin1(request.rangeEnd);
  return end !== "" && end !== "\0" && end <= startOf(request);
}

function isWatched(request: WatchCreateRequest, event: FakeEvent): boolean {
  const key = latin1(event.key);
  const [start, end] = [startOf(request), latin1(request.rangeEnd)];
  const isInside = end === ""
    ? key === start
    : key >= start && (end === "\0" || key < end);
  const dropped = event.deleted ? FilterType.NODELETE : FilterType.NOPUT;
  return isInside && !request.filters.includes(dropped);
}

/** A character a byte, so that text sorts as bytes do. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
