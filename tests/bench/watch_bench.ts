import { utf8 } from "../../src/base/bytes.ts";
import { SystemClock } from "../../src/base/clock.ts";
import { keyRange } from "../../src/mvcc/key_range.ts";
import type { Event, EventSource } from "../../src/mvcc/event.ts";
import { encodeEvent, newEvent, newKeyValue } from "../../src/pb/mvccpb.ts";
import { HeaderSource } from "../../src/rpc/header.ts";
import { WatchHub } from "../../src/watch/hub.ts";
import type { WatchWriter } from "../../src/watch/watch_stream.ts";
import { CapturingLogger } from "../support/log.ts";

/**
 * Nanoseconds of the watch hub, transport excluded:
 *
 *   deno run -A tests/bench/watch_bench.ts
 *
 * The best of some rounds: on a noisy machine the least disturbed one.
 */
const ROUNDS = 7;
const BATCHES = 2000;
const VALUE = "x".repeat(512);

/** A client that reads at once. */
class NullWriter implements WatchWriter {
  onDrain: (() => void) | undefined = undefined;
  bufferedBytes = 0;
  messages = 0;
  bytes = 0;

  sendEncoded(message: Uint8Array): void {
    this.messages++;
    this.bytes += message.length;
  }
}

interface Case {
  readonly streams: number;
  readonly watchersPerStream: number;
  readonly eventsPerBatch: number;
  /** The keys of watcher i of a stream: [key, range end]. */
  readonly range: (i: number) => [string, string];
  readonly prevKv: boolean;
}

function measure(name: string, test: Case): void {
  const log: Event[] = [];
  let revision = 1;
  let made = 1;
  const source: EventSource = {
    get currentRevision() {
      return revision;
    },
    compactRevision: -1,
    eventsAfter: (rev) => ({
      events: log.slice(rev - 1),
      throughRevision: revision,
    }),
    resolvePrevious: () => undefined,
  };
  const hub = new WatchHub(
    source,
    new HeaderSource(7n, 8n, 2),
    new SystemClock(),
    new CapturingLogger(),
  );
  const writers: NullWriter[] = [];
  for (let s = 0; s < test.streams; s++) {
    const writer = new NullWriter();
    writers.push(writer);
    const stream = hub.open(writer, () => {});
    for (let i = 0; i < test.watchersPerStream; i++) {
      const [key, end] = test.range(s * test.watchersPerStream + i);
      stream.create({
        range: keyRange(utf8(key), utf8(end)),
        startRevision: 0,
        id: 0n,
        progressNotify: true,
        prevKv: test.prevKv,
        skipPuts: false,
        skipDeletes: false,
        fragment: false,
      });
    }
  }
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const batches: Event[][] = [];
    for (let b = 0; b < BATCHES; b++) {
      const events: Event[] = [];
      for (let i = 0; i < test.eventsPerBatch; i++) events.push(event());
      batches.push(events);
    }
    const sent = hub.stats.eventsSent;
    const start = performance.now();
    for (const events of batches) {
      revision = events.at(-1)!.rev;
      hub.committed(events, revision);
    }
    const ns = (performance.now() - start) * 1e6;
    best = Math.min(best, ns / (hub.stats.eventsSent - sent));
  }
  console.log(`${name.padEnd(66)} ${best.toFixed(1).padStart(8)} ns`);
  hub.close();

  function event(): Event {
    const rev = ++made;
    const key = utf8(`/registry/pods/${rev % 10_000}`);
    const kv = newKeyValue({ key, value: utf8(VALUE), modRevision: rev });
    const wire = encodeEvent(newEvent({ kv }));
    return { rev, sub: 0, deleted: false, key, wire, wireWithPrevious: wire };
  }
}

const prefix = (): [string, string] => ["/registry/pods/", "/registry/pods0"];
const base = {
  streams: 100,
  watchersPerStream: 1,
  eventsPerBatch: 8,
  range: prefix,
  prevKv: false,
};
console.log("ns per (event, watcher):");
measure("100 streams watch one prefix, 8 events a batch", base);
measure("the same with prev_kv", { ...base, prevKv: true });
measure("the same, 1 event a batch", { ...base, eventsPerBatch: 1 });
measure("1 stream with 100 watchers of one prefix, 8 events a batch", {
  ...base,
  streams: 1,
  watchersPerStream: 100,
});
measure("1,000 streams watch one prefix, 8 events a batch", {
  ...base,
  streams: 1000,
});
measure("10,000 keys watched, each by one of 100 streams, 8 events a batch", {
  ...base,
  watchersPerStream: 100,
  range: (i) => [`/registry/pods/${i}`, ""],
});
