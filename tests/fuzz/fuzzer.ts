import { Random } from "../support/random.ts";
import { HPACK } from "./hpack.ts";
import { HTTP2 } from "./http2.ts";
import { JSON_TARGET } from "./json.ts";
import { PROTOBUF } from "./protobuf.ts";
import type { FuzzTarget } from "./target.ts";
import { TXN } from "./txn.ts";
import { WATCH } from "./watch.ts";

export const TARGETS: readonly FuzzTarget[] = [
  HPACK,
  HTTP2,
  JSON_TARGET,
  PROTOBUF,
  TXN,
  WATCH,
];

/** Seeds are 31 bits. */
const MAX_SEED = 2 ** 31;

/** A case that failed; its message says how to see it again. */
export class FuzzFailure extends Error {
  constructor(readonly target: string, readonly seed: number, cause: unknown) {
    const why = cause instanceof Error ? cause.stack : String(cause);
    super(
      `${target} fails with seed ${seed}: deno task fuzz --seconds=0 --seed=${seed} ${target}\n${why}`,
      { cause },
    );
  }
}

export interface FuzzOptions {
  /** Of the first case; the next one has the next. */
  readonly seed: number;
  /** No case is begun after it; the first one always is. */
  readonly seconds: number;
}

/** Runs cases until the time is over; resolves with how many there were, rejects with a `FuzzFailure`. */
export async function fuzz(
  target: FuzzTarget,
  { seed, seconds }: FuzzOptions,
): Promise<number> {
  const endMs = performance.now() + seconds * 1_000;
  let cases = 0;
  do {
    await runCase(target, (seed + cases) % MAX_SEED);
    cases++;
  } while (performance.now() < endMs);
  return cases;
}

/** One case. */
export async function runCase(target: FuzzTarget, seed: number): Promise<void> {
  try {
    await target.run(new Random(seed));
  } catch (error) {
    throw new FuzzFailure(target.name, seed, error);
  }
}

/** A seed that nobody knows. */
export function anySeed(): number {
  return Math.floor(Math.random() * MAX_SEED);
}

/** A seed that once found something, or goes where few do, and why it is kept. */
export interface CorpusEntry {
  readonly seed: number;
  readonly why: string;
}

/** What is kept of a target in corpus/. */
export function corpusOf({ name }: FuzzTarget): CorpusEntry[] {
  const path = new URL(`./corpus/${name}.json`, import.meta.url);
  return JSON.parse(Deno.readTextFileSync(path));
}
