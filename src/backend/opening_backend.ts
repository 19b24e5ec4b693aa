import type { Backend, Head } from "./backend.ts";
import { type BackendOptions, openBackend } from "./open.ts";

/** A backend that is being opened while other things are done. */
export interface OpeningBackend {
  readonly backend: Backend;
  /** Rejects if it cannot be opened; whoever asks is told, however late. */
  readonly head: Promise<Head>;
}

/** Begins to open the backend for a URL; throws for one that `openBackend` refuses. */
export function beginOpening(
  url: string,
  options: BackendOptions,
): OpeningBackend {
  const backend = openBackend(url, options);
  const head = backend.open();
  head.catch(() => {}); // it may reject before anybody waits
  return { backend, head };
}
