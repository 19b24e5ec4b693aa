import type { Clock } from "../base/clock.ts";

export interface BatchTrimmerOptions {
  /** So many of the last batches stay: they settle what became of appends whose answers were lost. */
  readonly keptBatches: number;
  /** What is younger stays, for servers that stood still meanwhile and go on where they were. */
  readonly keptMs: number;
}

/** Forgets old batches, whose rows stay. Told of the log's end now and then, it knows how old they are. */
export class BatchTrimmer {
  readonly #remove: (belowSeq: number) => Promise<void>;
  readonly #clock: Clock;
  readonly #options: BatchTrimmerOptions;
  /** Where the log ended at what time, oldest first. */
  #samples: { seq: number; atMs: number }[] = [];
  #trimmed = 0;

  constructor(
    remove: (belowSeq: number) => Promise<void>,
    clock: Clock,
    options: BatchTrimmerOptions,
  ) {
    this.#remove = remove;
    this.#clock = clock;
    this.#options = options;
  }

  /** `seq`: the last batch. Removes what is old, when there is enough of it. */
  async run(seq: number): Promise<void> {
    const { keptBatches, keptMs } = this.#options;
    const below = Math.min(seq - keptBatches, this.#endBefore(seq, keptMs));
    if (below - this.#trimmed <= keptBatches) return;
    this.#trimmed = below;
    await this.#remove(below);
  }

  /** Where the log ended so long ago. */
  #endBefore(seq: number, keptMs: number): number {
    if (keptMs === 0) return seq;
    const now = this.#clock.monotonicMs();
    const samples = this.#samples;
    const last = samples.at(-1);
    if (last === undefined || now - last.atMs >= keptMs / SAMPLES) {
      samples.push({ seq, atMs: now });
    }
    while (samples.length > 1 && now - samples[1]!.atMs >= keptMs) {
      samples.shift();
    }
    const first = samples[0]!;
    return now - first.atMs >= keptMs ? first.seq : 0;
  }
}

/** Of the time that batches are kept. */
const SAMPLES = 60;
