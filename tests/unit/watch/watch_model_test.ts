import assert from "node:assert/strict";
import type { Event } from "../../../src/pb/mvccpb.ts";
import type { WatchRequest } from "../../../src/watch/watch_stream.ts";
import { Random, seeds } from "../../support/random.ts";
import type { FakeChange, FakeEvent } from "./fake_history.ts";
import type { Received } from "./fake_writer.ts";
import { request, type TestStream, WatchFixture } from "./fixture.ts";

const KEYS = ["a", "aa", "ab", "b", "ba", "c", "d", "e"];
const RANGES = ["a", "b", "c", "a-b", "a-c", "b-e", "aa-", "\0-", "d"];
const STEPS = 600;
const MAX_RESPONSE_BYTES = 8 << 10;
const FRAGMENT_BYTES = 20 << 10;
const MAX_BUFFER_BYTES = 64 << 10;

/** What one watcher was told, as its client puts it together, and what it should have been told. */
class Watched {
  readonly events: Event[] = [];
  isCanceled = false;
  compactRevision = 0;
  /** The last header that counts as progress. */
  progress = 0;
  /** Fragments of a revision whose end has not come yet. */
  isOpen = false;

  constructor(
    readonly id: number,
    readonly range: string,
    readonly options: WatchRequest,
    readonly from: number,
  ) {}

  /** Of the events so far. */
  get lastRevision(): number {
    return this.events.at(-1)?.kv?.modRevision ?? 0;
  }

  take(response: Received): void {
    assert.ok(!this.isCanceled, "nothing comes after the cancellation");
    if (response.canceled) {
      this.isCanceled = true;
      this.compactRevision = response.compactRevision;
      return;
    }
    if (response.events.length === 0) {
      this.sawProgress(response.revision);
      return;
    }
    const first = response.events[0]!.kv!.modRevision;
    const last = response.events.at(-1)!.kv!.modRevision;
    const previous = this.lastRevision;
    assert.ok(response.revision >= last, "the header is not behind the events");
    assert.ok(first > this.progress, "progress does not overtake events");
    if (this.isOpen) assert.ok(first >= previous);
    else assert.ok(first > previous, "a revision comes in one response");
    assert.ok(this.options.fragment || !response.fragment);
    assert.ok(
      response.bytes <=
          (this.options.fragment ? FRAGMENT_BYTES : MAX_RESPONSE_BYTES + 64) ||
        first === last &&
          (!this.options.fragment || response.events.length === 1),
    );
    this.isOpen = response.fragment;
    this.events.push(...response.events);
  }

  sawProgress(revision: number): void {
    const { startRevision } = this.options;
    assert.ok(revision >= startRevision, "no progress before the start");
    this.progress = Math.max(this.progress, revision);
  }

  /** Compares with what the log says. A watcher that ended may have been told less, but only at the end. */
  check(expected: readonly FakeEvent[]): void {
    const { prevKv, skipPuts, skipDeletes } = this.options;
    const all = expected.filter((e) =>
      e.rev >= this.from && (e.deleted ? !skipDeletes : !skipPuts)
    );
    const wanted = this.isCanceled ? all.slice(0, this.events.length) : all;
    assert.deepEqual(
      this.events.map(({ type, kv, prevKv }) => [type, kv, prevKv]),
      wanted.map((e) => [
        e.deleted ? 1 : 0,
        e.kv,
        prevKv ? e.previous : undefined,
      ]),
    );
    if (this.compactRevision === 0) return;
    const seen = Math.max(
      this.lastRevision,
      this.progress,
      this.from - 1,
    );
    assert.ok(seen + 1 < this.compactRevision, "what it needs next is gone");
  }
}

/** A client: its watchers by id, and those whose id was freed. */
class Client {
  readonly watched = new Map<number, Watched>();
  readonly ended: Watched[] = [];

  constructor(readonly test: TestStream) {}

  take(): void {
    for (const response of this.test.writer.take()) {
      if (response.created) {
        assert.ok(this.watched.has(response.watchId), "created is announced");
        continue;
      }
      if (response.watchId === -1) {
        for (const w of this.watched.values()) {
          w.sawProgress(response.revision);
        }
        continue;
      }
      const watched = this.watched.get(response.watchId);
      assert.ok(watched !== undefined, "a response is for a watcher");
      watched.take(response);
      if (!watched.isCanceled) continue;
      this.watched.delete(watched.id);
      this.ended.push(watched);
    }
  }
}

async function run(random: Random): Promise<void> {
  const f = new WatchFixture({
    random: () => random.int(1000) / 1000,
    maxStreamBufferBytes: MAX_BUFFER_BYTES,
    maxResponseBytes: MAX_RESPONSE_BYTES,
    fragmentBytes: FRAGMENT_BYTES,
    catchUpBytes: random.pick([1, 1000, 50_000]),
    maxCatchUpReads: 1 + random.int(3),
    progressIntervalMs: 1000,
    readTimeoutMs: 1e9,
    maxReadAttempts: 1e9,
  });
  const { history } = f;
  const clients: Client[] = [];
  const gone: Client[] = [];
  const open = () => clients.push(new Client(f.open()));

  const change = (): FakeChange => ({
    key: random.pick(KEYS),
    value: random.oneIn(3)
      ? undefined
      : "x".repeat(random.pick([0, 10, 500, 9000])),
  });
  const revision = () => {
    const changes = new Map<string, FakeChange>();
    for (let i = 1 + random.int(4); i > 0; i--) {
      const one = change();
      changes.set(one.key, one);
    }
    return [...changes.values()];
  };
  const batch = () => Array.from({ length: 1 + random.int(4) }, revision);
  const watch = () => {
    const client = random.pick(clients);
    const { currentRevision: current } = history;
    const range = random.pick(RANGES);
    const startRevision = random.int(5) < 2
      ? 0
      : random.oneIn(5)
      ? current + 1 + random.int(10)
      : Math.max(1, current - random.int(60));
    const options = request(range, {
      startRevision,
      id: random.oneIn(5) ? 1000 + random.int(5) : 0,
      progressNotify: random.oneIn(2),
      prevKv: random.oneIn(2),
      skipPuts: random.oneIn(10),
      skipDeletes: random.oneIn(10),
      fragment: random.oneIn(3),
    });
    client.take();
    const before = client.test.writer.sent.length;
    if (client.test.stream.create(options) !== undefined) {
      assert.ok(client.watched.has(Number(options.id)));
      assert.equal(client.test.writer.sent.length, before);
      return;
    }
    const [created, ...rest] = client.test.writer.take();
    assert.equal(rest.length, 0);
    assert.equal(created!.revision, current);
    const id = created!.watchId;
    assert.ok(!client.watched.has(id));
    const from = startRevision || current + 1;
    client.watched.set(id, new Watched(id, range, options, from));
  };

  open();
  for (let step = 0; step < STEPS; step++) {
    const client = random.pick(clients);
    const dice = random.int(100);
    if (dice < 35) history.commit(...batch());
    else if (dice < 50) watch();
    else if (dice < 54) {
      client.take();
      const ids = [...client.watched.keys()];
      if (ids.length > 0) client.test.cancel(random.pick(ids));
    } else if (dice < 56) {
      if (clients.length < 6) open();
    } else if (dice < 57) {
      client.take();
      client.test.stream.close();
      clients.splice(clients.indexOf(client), 1);
      gone.push(client);
      if (clients.length === 0) open();
    } else if (dice < 61) {
      client.test.writer.isReading = !client.test.writer.isReading;
      if (client.test.writer.isReading) client.test.writer.drain();
    } else if (dice < 64) client.test.writer.drain();
    else if (dice < 69) client.test.stream.requestProgress();
    else if (dice < 71) {
      const above = Math.max(1, history.compactRevision);
      const span = history.currentRevision - above;
      if (span > 0) history.compact(above + 1 + random.int(span));
    } else if (dice < 75) {
      history.asyncBefore = random.pick([
        0,
        history.currentRevision - 10,
        Infinity,
      ]);
    } else if (dice < 78) history.fetchesPrevious = random.oneIn(2);
    else if (dice < 86) {
      const { pending } = history;
      if (pending.length === 0) continue;
      const [one] = pending.splice(random.int(pending.length), 1);
      if (random.oneIn(10)) one!.fail(new Error("a random failure"));
      else one!.answer();
    } else if (dice < 95) await f.settle();
    else if (dice < 96) history.append(...batch());
    else f.clock.advance(random.int(400));
    for (const { test } of clients) {
      assert.ok(
        test.writer.maxBufferedBytes <=
          MAX_BUFFER_BYTES + 45_000 * 2 + 10_000,
        `${test.writer.maxBufferedBytes} bytes are buffered`,
      );
    }
  }

  // Everybody reads, everything works: all have to arrive at the end.
  history.fetchesPrevious = false;
  history.asyncBefore = 0;
  for (const { test } of clients) test.writer.isReading = true;
  for (let round = 0; round < 100; round++) {
    f.clock.advance(6000);
    for (const { test } of clients) test.writer.drain();
    await f.answerAll();
    if (f.hub.stats.slowWatchers === 0) break;
  }
  history.commit(batch()[0]!);
  await f.settle();
  assert.equal(f.hub.stats.slowWatchers, 0, "all have caught up");
  for (const client of [...clients, ...gone]) {
    if (clients.includes(client)) client.take();
    for (const watched of client.ended) watched.check(logOf(watched));
    if (gone.includes(client)) continue;
    for (const watched of client.watched.values()) {
      watched.check(logOf(watched));
    }
    client.test.stream.close();
  }
  f.assertEmpty();

  function logOf({ range }: Watched): FakeEvent[] {
    const [start, end] = range.split("-");
    if (end === undefined) {
      return history.log.filter((e) => e.change.key === start);
    }
    return history.eventsIn(start!, end === "" ? undefined : end);
  }
}

for (const seed of seeds(25)) {
  Deno.test(`WatchHub agrees with a filter of the log (seed ${seed})`, () =>
    run(new Random(seed)));
}
