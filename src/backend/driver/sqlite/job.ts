/**
 * Work that is done in slices, so that an append never waits for more than one of them.
 * `yield Step.More` after a slice, `yield Step.Waiting` if nothing can be done until a message comes.
 */
export type Job<T> = Generator<Step, T, void>;

export const Step = { More: 0, Waiting: 1 } as const;
export type Step = typeof Step[keyof typeof Step];
