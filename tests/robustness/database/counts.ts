/** Things that happened, by name. */
export type Counts = ReadonlyMap<string, number>;

export function sumOf(counts: Counts): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

/** Each count, for who wants to know more. */
export function logCounts(...several: readonly Counts[]): void {
  if (!Deno.env.has("STELE_VERBOSE")) return;
  for (const counts of several) console.log(counts);
}
