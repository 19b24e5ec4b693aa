/** Buckets grow by this factor: no percentile is further off than that. */
const GROWTH = 1.01;
const LOG_GROWTH = Math.log(GROWTH);
/** Below, all is one bucket. */
const SMALLEST_MS = 1e-3;
/** Up to 11 days; what takes longer is counted in the last bucket. */
const BUCKETS = Math.ceil(Math.log(1e9 / SMALLEST_MS) / LOG_GROWTH) + 1;

/** Any number of latencies in fixed memory, within 1 %; the largest is exact. */
export class LatencyHistogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  add(ms: number): void {
    const bucket = ms <= SMALLEST_MS
      ? 0
      : Math.ceil(Math.log(ms / SMALLEST_MS) / LOG_GROWTH);
    this.#counts[Math.min(bucket, BUCKETS - 1)]!++;
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  /** 0 if there is none. */
  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  /** What this share of all (0 to 1) does not exceed; 0 if there is none. */
  percentileMs(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= wanted) {
        return Math.min(SMALLEST_MS * GROWTH ** bucket, this.#maxMs);
      }
    }
    return 0;
  }
}
