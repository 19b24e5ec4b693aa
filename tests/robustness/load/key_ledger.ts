/** What clients were told about keys that are known by their number: the server has to agree with it. */
export class KeyLedger {
  /** Puts that were acknowledged, by slice. */
  readonly puts: Float64Array;
  /** The sum of their revisions, by slice: events that are lost, doubled or invented change it. */
  readonly revisionSums: Float64Array;
  readonly #lastRevision: Float64Array;
  /** Puts of which nobody knows whether they were done: their connection broke. */
  unknown = 0;

  constructor(readonly keyCount: number, readonly sliceCount: number) {
    this.#lastRevision = new Float64Array(keyCount);
    this.puts = new Float64Array(sliceCount);
    this.revisionSums = new Float64Array(sliceCount);
  }

  /** Keys in one run of numbers, one for each watcher. */
  sliceOf(key: number): number {
    return Math.floor(key * this.sliceCount / this.keyCount);
  }

  /** The first key of a slice. */
  firstKey(slice: number): number {
    return Math.ceil(slice * this.keyCount / this.sliceCount);
  }

  /** A put that nobody watched yet. */
  loaded(key: number, revision: number): void {
    this.#lastRevision[key] = Math.max(this.lastRevision(key), revision);
  }

  acknowledged(key: number, revision: number): void {
    this.loaded(key, revision);
    const slice = this.sliceOf(key);
    this.puts[slice]!++;
    this.revisionSums[slice]! += revision;
  }

  /** Of the last put that was acknowledged; 0: none was. */
  lastRevision(key: number): number {
    return this.#lastRevision[key]!;
  }

  /** Keys that must exist. */
  get liveCount(): number {
    let count = 0;
    for (const revision of this.#lastRevision) if (revision > 0) count++;
    return count;
  }

  get acknowledgedCount(): number {
    return this.puts.reduce((sum, n) => sum + n, 0);
  }
}
