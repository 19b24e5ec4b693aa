// deno-lint-ignore no-import-prefix -- pinned where it is used, as drivers do
import { compareSync, hashSync } from "npm:bcryptjs@3.0.3";
import type { PasswordAnswer, PasswordJob } from "./password_job.ts";

/**
 * Entry of the worker that bcrypt runs in: one job after the other, so that nobody's login stalls a request.
 * It has no permissions at all.
 */
const scope = self as unknown as {
  onmessage: (event: MessageEvent<PasswordJob>) => void;
  postMessage(answer: PasswordAnswer): void;
};

scope.onmessage = ({ data: job }) => {
  try {
    const result = job.op === "hash"
      ? hashSync(job.password, job.cost)
      : compareSync(job.password, job.hash);
    scope.postMessage({ id: job.id, result });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    scope.postMessage({ id: job.id, error: text });
  }
};
