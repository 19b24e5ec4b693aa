import type { KeyView } from "./evaluate.ts";
import type { KeyEvent, KeyVersion, LoggedRevision } from "./operation.ts";

/**
 * Every key at every revision, from a log that begins at revision 2, the first write of an empty store.
 *
 * `add` checks each revision against those before it: what does not follow from them is a violation.
 */
export class KeyHistory {
  readonly violations: string[] = [];
  readonly #versions = new Map<string, Version[]>();
  /** All keys there ever were, in order. */
  #sorted: string[] | undefined = [];
  #revision = 1;

  constructor(log: readonly LoggedRevision[]) {
    for (const revision of log) this.#add(revision);
  }

  get revision(): number {
    return this.#revision;
  }

  /** The keys as they were at `revision`. */
  view(revision: number): KeyView {
    return {
      revision,
      compactRevision: 0,
      at: (key, at) => this.at(key, at),
      range: (key, end, at) => this.range(key, end, at),
      hasLease: () => true,
    };
  }

  at(key: string, revision: number): KeyVersion | undefined {
    return this.#versionAt(key, revision)?.kv;
  }

  range(key: string, end: string, revision: number): KeyVersion[] {
    const found: KeyVersion[] = [];
    for (const name of this.keys()) {
      if (name < key) continue;
      if (name >= end) break;
      const kv = this.at(name, revision);
      if (kv !== undefined) found.push(kv);
    }
    return found;
  }

  /** All keys there ever were, in order. */
  keys(): readonly string[] {
    this.#sorted ??= [...this.#versions.keys()].sort();
    return this.#sorted;
  }

  /** Versions and tombstones of a key, oldest first. */
  versions(key: string): readonly Version[] {
    return this.#versions.get(key) ?? [];
  }

  #versionAt(key: string, revision: number): Version | undefined {
    const versions = this.#versions.get(key);
    if (versions === undefined) return undefined;
    let low = 0;
    let high = versions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (versions[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return versions[low - 1];
  }

  #add({ revision, events }: LoggedRevision): void {
    if (revision !== this.#revision + 1) {
      this.violations.push(
        `revision ${revision} follows ${this.#revision} in the log`,
      );
    }
    this.#revision = revision;
    if (events.length === 0) {
      this.violations.push(`revision ${revision} is empty`);
    }
    for (const [sub, event] of events.entries()) {
      const key = keyOf(event);
      const before = this.#versionAt(key, revision);
      if (before?.revision === revision) {
        this.violations.push(`revision ${revision} changes "${key}" twice`);
      }
      this.#check(revision, event, before?.kv);
      if (!this.#versions.has(key)) {
        this.#versions.set(key, []);
        this.#sorted = undefined;
      }
      const kv = event.kind === "put" ? event.kv : undefined;
      this.#versions.get(key)!.push({ revision, sub, kv });
    }
  }

  #check(
    revision: number,
    event: KeyEvent,
    before: KeyVersion | undefined,
  ): void {
    const wrong = (what: string) =>
      this.violations.push(`revision ${revision}, "${keyOf(event)}": ${what}`);
    if (event.kind === "delete") {
      if (before === undefined) wrong("deletes a key that is not there");
      return;
    }
    const { modRevision, createRevision, version } = event.kv;
    if (modRevision !== revision) wrong(`mod revision ${modRevision}`);
    const created = before?.createRevision ?? revision;
    if (createRevision !== created) {
      wrong(`create revision ${createRevision}, not ${created}`);
    }
    const next = (before?.version ?? 0) + 1;
    if (version !== next) wrong(`version ${version}, not ${next}`);
  }
}

export interface Version {
  readonly revision: number;
  /** Which event of its revision. */
  readonly sub: number;
  /** Undefined for a tombstone. */
  readonly kv: KeyVersion | undefined;
}

export function keyOf(event: KeyEvent): string {
  return event.kind === "put" ? event.kv.key : event.key;
}
