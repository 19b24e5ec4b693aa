import assert from "node:assert/strict";
import { BackendError } from "../../../src/backend/backend.ts";
import { Counter } from "../../../src/base/metrics.ts";
import { CommitLog } from "../../../src/mvcc/commit_log.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";

const SLOW_MS = 100;

function fixture() {
  const log = new CapturingLogger();
  const clock = new FakeClock();
  const slowCommits = new Counter();
  const disk = { isFull: false };
  const commits = new CommitLog(log, clock, {
    slowMs: SLOW_MS,
    slowCommits,
    isDiskFull: () => disk.isFull,
  });
  return { log, clock, slowCommits, disk, commits };
}

Deno.test("CommitLog logs a commit above its bound, not one at it, and counts all", () => {
  const { log, slowCommits, commits } = fixture();
  commits.committed(SLOW_MS, 1, 2);
  assert.deepEqual(log.entries, []);
  commits.committed(SLOW_MS + 1, 3, 4);
  commits.committed(SLOW_MS + 2, 5, 6);
  assert.equal(slowCommits.value, 2);
  assert.deepEqual(log.entries, [{
    level: "warn",
    msg: "slow commit",
    fields: { durationMs: 101, expectedMs: 100, rows: 3, bytes: 4 },
  }]);
});

Deno.test("CommitLog names cause and cure of a failure once while it lasts, and its end", () => {
  const { log, clock, disk, commits } = fixture();
  const error = new BackendError("Cannot append: full", {
    kind: "noSpace",
    cure: "make room",
  });
  commits.failed(error);
  clock.advance(9999);
  commits.failed(error);
  assert.equal(log.messages("error").length, 1);
  clock.advance(1);
  commits.failed(error);
  assert.deepEqual(log.entries[0]!.fields, { error, cure: "make room" });
  assert.equal(log.entries[1]!.fields.suppressed, 1);
  disk.isFull = true;
  commits.committed(1, 1, 1);
  assert.equal(log.entries.length, 2);
  disk.isFull = false;
  commits.committed(1, 1, 1);
  commits.committed(1, 1, 1);
  assert.deepEqual(log.entries.slice(2), [{
    level: "warn",
    msg: "the database takes writes again",
    fields: { failedForMs: 10_000 },
  }]);
});

Deno.test("CommitLog keeps different causes apart", () => {
  const { log, commits } = fixture();
  for (const kind of ["noSpace", "corrupt", "failed"] as const) {
    commits.failed(new BackendError("Cannot append", { kind }));
  }
  commits.failed(new Error("something else"));
  assert.equal(log.messages("error").length, 3);
  commits.readFailed(new BackendError("Cannot read values", { cure: "look" }));
  assert.equal(
    log.messages("error").at(-1),
    "cannot read: the database failed",
  );
  assert.equal(log.entries.at(-1)!.fields.cure, "look");
});
