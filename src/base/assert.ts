/** Thrown when Stele itself is wrong, as opposed to a client or the world. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Stops what is being done if `condition` does not hold; `message` is a plain literal. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
