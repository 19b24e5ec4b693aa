import assert from "node:assert/strict";
import { text, utf8 } from "../../../src/base/bytes.ts";
import type { DomainError } from "../../../src/base/errors.ts";
import { keyRange } from "../../../src/mvcc/key_range.ts";
import type { Event } from "../../../src/pb/mvccpb.ts";
import { HeaderSource } from "../../../src/rpc/header.ts";
import { WatchHub } from "../../../src/watch/hub.ts";
import type { WatchOptions } from "../../../src/watch/watch_options.ts";
import type {
  WatchRequest,
  WatchStream,
} from "../../../src/watch/watch_stream.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";
import { FakeHistory } from "./fake_history.ts";
import { FakeWriter } from "./fake_writer.ts";

/** A hub over a history that the test writes, with streams whose clients read when the test lets them. */
export class WatchFixture {
  readonly clock = new FakeClock();
  readonly log = new CapturingLogger();
  readonly history: FakeHistory = new FakeHistory(() => this.hub);
  readonly hub: WatchHub;

  constructor(options: Partial<WatchOptions> = {}) {
    this.hub = new WatchHub(
      this.history,
      new HeaderSource(7n, 8n, 2),
      this.clock,
      this.log,
      { random: () => 0, ...options },
    );
  }

  open(): TestStream {
    return new TestStream(this.hub);
  }

  /** Lets everything that can go on without time passing go on, pauses between two turns included. */
  async settle(): Promise<void> {
    for (let i = 0; i < 50; i++) {
      await Promise.resolve();
      if (i % 5 === 0) this.clock.advance(0);
    }
  }

  /** As `settle`, and answers what the history was asked for. */
  async answerAll(): Promise<void> {
    await this.settle();
    while (this.history.pending.length > 0) {
      this.history.pending.shift()!.answer();
      await this.settle();
    }
  }

  /** Whether every watcher was let go, and nothing of it is left. */
  assertEmpty(): void {
    const { streams, watchers, interests, slowWatchers } = this.hub.stats;
    assert.deepEqual([streams, watchers, interests, slowWatchers], [
      0,
      0,
      0,
      0,
    ]);
  }
}

export class TestStream {
  readonly writer = new FakeWriter();
  readonly errors: DomainError[] = [];
  readonly stream: WatchStream;

  constructor(hub: WatchHub) {
    this.stream = hub.open(this.writer, (error) => this.errors.push(error));
  }

  /** Creates a watcher and returns its id, taken from the answer. */
  watch(key: string, more: RequestOptions = {}): number {
    this.writer.take();
    const problem = this.stream.create(request(key, more));
    assert.equal(problem, undefined);
    const [created] = this.writer.take();
    assert.deepEqual([created!.created, created!.canceled], [true, false]);
    return created!.watchId;
  }

  cancel(id: number): void {
    this.stream.cancel(BigInt(id));
  }

  /** The events of the responses since the last call, as text. */
  events(): string {
    return this.writer.take().map(({ events }) => show(events)).join(" | ");
  }
}

/** What of a request differs from a plain one; ids that fit in a number. */
export type RequestOptions = Partial<Omit<WatchRequest, "id">> & {
  readonly id?: number;
};

/** `a` watches a key, `a-c` the range from a to before c, `a-` everything from a on. */
export function request(
  range: string,
  { id = 0, ...more }: RequestOptions = {},
): WatchRequest {
  const [start, end] = range.split("-");
  const rangeEnd = end === undefined ? "" : end === "" ? "\0" : end;
  return {
    range: keyRange(utf8(start!), utf8(rangeEnd)),
    startRevision: 0,
    id: BigInt(id),
    progressNotify: false,
    prevKv: false,
    skipPuts: false,
    skipDeletes: false,
    fragment: false,
    ...more,
  };
}

/** `a@3` was put at revision 3, `-a@4` deleted at 4; `(3)` behind it: what was there before was of revision 3. */
export function show(events: readonly Event[]): string {
  return events.map(({ type, kv, prevKv }) => {
    const before = prevKv === undefined ? "" : `(${prevKv.modRevision})`;
    return `${type === 1 ? "-" : ""}${text(kv!.key)}@${
      kv!.modRevision
    }${before}`;
  }).join(" ");
}
