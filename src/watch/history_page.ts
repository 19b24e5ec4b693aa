import { ByteMap } from "../base/byte_map.ts";
import type { Event } from "../mvcc/event.ts";
import type { KeyInterest } from "./key_interest.ts";
import type { EventResponses, ResponseEncoder } from "./response_encoder.ts";
import type { WatcherGroup } from "./watcher_group.ts";

/** From this many single keys on, the page's events are put into a map by key. */
const KEYS_BEFORE_MAP = 8;

const NONE: readonly Event[] = [];

interface Prepared {
  readonly from: number;
  readonly responses: EventResponses | undefined;
}

/**
 * A stretch of history that several watchers read together: events are matched once for each range and
 * encoded once for those who look at the same ones. Lives as long as those watchers are being served.
 */
export class HistoryPage {
  readonly #byRange = new Map<KeyInterest, readonly Event[]>();
  readonly #byGroup = new Map<WatcherGroup, Prepared>();
  #byKey: ByteMap<Event[]> | undefined = undefined;
  #singles = 0;
  /** Work done so far, in events looked at; the catch-up bounds its turns with it. */
  work: number;

  constructor(
    readonly events: readonly Event[],
    /** The last revision that the page covers. */
    readonly through: number,
  ) {
    this.work = events.length;
  }

  /** The page's events in a range. */
  matching(interest: KeyInterest): readonly Event[] {
    if (interest.range.isSingle && ++this.#singles > KEYS_BEFORE_MAP) {
      this.#byKey ??= this.#mapByKey();
      return this.#byKey.get(interest.range.start) ?? NONE;
    }
    let events = this.#byRange.get(interest);
    if (events === undefined) {
      this.work += this.events.length;
      events = this.events.filter((event) => interest.includes(event.key));
      this.#byRange.set(interest, events);
    }
    return events;
  }

  /** What a group's watchers that go on from revision `from` get; undefined if nothing here is for them. */
  responses(
    group: WatcherGroup,
    from: number,
    encoder: ResponseEncoder,
  ): EventResponses | undefined {
    const prepared = this.#byGroup.get(group);
    if (prepared?.from === from) return prepared.responses;
    const matched = this.matching(group.interest);
    const rest = matched.length === 0 || matched[0]!.rev >= from
      ? matched
      : matched.filter((event) => event.rev >= from);
    const events = group.select(rest);
    const responses = events.length === 0
      ? undefined
      : encoder.events(group, events, this.through);
    this.work += matched.length;
    this.#byGroup.set(group, { from, responses });
    return responses;
  }

  #mapByKey(): ByteMap<Event[]> {
    const map = new ByteMap<Event[]>();
    for (const event of this.events) {
      const events = map.get(event.key);
      if (events === undefined) map.set(event.key, [event]);
      else events.push(event);
    }
    this.work += this.events.length;
    return map;
  }
}
