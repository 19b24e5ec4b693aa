import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { BackendError } from "../../../../../src/backend/backend.ts";
import { checkWal } from "../../../../../src/backend/driver/sqlite/wal_check.ts";

const HEADER_BYTES = 32;
const FRAME_BYTES = 24 + 4096;
const COMMITS = 6;

/** A log of commits with two frames each, as a killed process leaves it. */
function makeLog(): { bytes: Uint8Array; check(bytes: Uint8Array): void } {
  const dir = Deno.makeTempDirSync({ prefix: "stele-wal-" });
  const path = `${dir}/t.db`;
  const db = new DatabaseSync(path);
  db.exec("PRAGMA page_size = 4096");
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA wal_autocheckpoint = 0");
  db.exec("CREATE TABLE a (x BLOB); CREATE TABLE b (x BLOB)");
  db.exec("PRAGMA wal_checkpoint(RESTART)"); // the next log begins in front of older frames
  for (let i = 0; i < COMMITS; i++) {
    db.exec(
      "BEGIN; INSERT INTO a VALUES (x'01'); INSERT INTO b VALUES (x'02'); COMMIT",
    );
  }
  const bytes = Deno.readFileSync(`${path}-wal`);
  db.close();
  Deno.removeSync(dir, { recursive: true });
  return {
    bytes: bytes.subarray(0, HEADER_BYTES + 2 * COMMITS * FRAME_BYTES),
    check(bytes) {
      const file = Deno.makeTempFileSync();
      try {
        Deno.writeFileSync(file, bytes);
        checkWal(file);
      } finally {
        Deno.removeSync(file);
      }
    },
  };
}

const frameAt = (frame: number) => HEADER_BYTES + frame * FRAME_BYTES;

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const damaged = bytes.slice();
  damaged[at]! ^= 1;
  return damaged;
}

const LOG = makeLog();

Deno.test("checkWal() takes a log that is whole, empty, or not there", () => {
  LOG.check(LOG.bytes);
  LOG.check(new Uint8Array(0));
  checkWal("/nonexistent/wal");
});

Deno.test("checkWal() takes what a power failure leaves: any part of the newest commit missing", () => {
  const last = 2 * COMMITS - 2;
  for (const frame of [last, last + 1]) {
    LOG.check(LOG.bytes.slice(0, frameAt(frame)));
    LOG.check(LOG.bytes.slice(0, frameAt(frame) + 1000));
    for (const at of [0, 9, 18, 24, 4000]) {
      LOG.check(flipped(LOG.bytes, frameAt(frame) + at));
    }
  }
});

Deno.test("checkWal() finds a flip anywhere in a commit that others follow, and says where to cut", () => {
  for (let frame = 0; frame < 2 * COMMITS - 4; frame++) {
    for (const at of [0, 9, 18, 24, 4000]) {
      const cut = frameAt(frame);
      assert.throws(() => LOG.check(flipped(LOG.bytes, cut + at)), (error) => {
        assert.ok(error instanceof BackendError, `frame ${frame}, byte ${at}`);
        assert.equal(error.kind, "corrupt");
        assert.match(error.message, new RegExp(`damaged at byte ${cut},`));
        assert.match(error.cure, new RegExp(`truncate -s ${cut} `));
        LOG.check(LOG.bytes.slice(0, cut));
        return true;
      });
    }
  }
});

Deno.test("checkWal() finds a damaged header in front of whole frames", () => {
  for (let at = 0; at < HEADER_BYTES; at++) {
    assert.throws(() => LOG.check(flipped(LOG.bytes, at)), { kind: "corrupt" });
  }
});

Deno.test("checkWal() leaves frames of an older log alone", () => {
  const older = LOG.bytes.slice(frameAt(4));
  for (let frame = 0; frame * FRAME_BYTES < older.length; frame++) {
    older[frame * FRAME_BYTES + 9]! ^= 0xff; // other salts
  }
  const log = new Uint8Array(LOG.bytes.length);
  log.set(LOG.bytes.subarray(0, frameAt(4)));
  log.set(older, frameAt(4));
  LOG.check(log);
});
