import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import {
  type AuditEntry,
  type AuditSink,
  BufferedAuditLog,
  MAX_WAITING_CHARS,
  openAuditLog,
} from "../../../src/auth/audit_log.ts";
import { NO_LOG } from "../../../src/base/log.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const ENTRY: AuditEntry = {
  user: "alice",
  peer: "127.0.0.1:51234",
  method: "/etcdserverpb.KV/Put",
  outcome: "OK",
  revision: 17,
};

/** Keeps what is written; a write waits for `go` if it was told to, and fails if it was told to. */
class TestSink implements AuditSink {
  readonly chunks: string[] = [];
  isClosed = false;
  failure: Error | undefined;
  #gate: PromiseWithResolvers<void> | undefined;

  hold(): void {
    this.#gate = Promise.withResolvers();
  }

  go(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#gate?.promise;
    if (this.failure !== undefined) throw this.failure;
    this.chunks.push(new TextDecoder().decode(bytes));
  }

  close(): void {
    this.isClosed = true;
  }

  records(): Record<string, unknown>[] {
    return this.chunks.join("").split("\n").filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }
}

function open() {
  const sink = new TestSink();
  const clock = new FakeClock();
  const errors: string[] = [];
  const log = { ...NO_LOG, error: (msg: string) => void errors.push(msg) };
  return { sink, clock, errors, audit: new BufferedAuditLog(sink, clock, log) };
}

/** Lets the promises that are ready run. */
const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

Deno.test("BufferedAuditLog writes what it has once a second", async () => {
  const { sink, clock, audit } = open();
  audit.record(ENTRY);
  clock.advance(999);
  audit.record({ ...ENTRY, revision: 18 });
  await settle();
  equal(sink.chunks.length, 0);
  clock.advance(1);
  await settle();
  equal(sink.chunks.length, 1);
  deepEqual(sink.records().map((r) => r["revision"]), [17, 18]);
  equal(sink.records()[0]!["time"], "2023-11-14T22:13:20.000Z");
  equal(sink.records()[1]!["time"], "2023-11-14T22:13:20.999Z");
  await audit.close();
});

Deno.test("BufferedAuditLog writes a full buffer without waiting for the timer", async () => {
  const { sink, audit } = open();
  const count = 1000;
  for (let i = 0; i < count; i++) audit.record({ ...ENTRY, revision: i });
  await settle();
  ok(sink.chunks.length > 0);
  await audit.close();
  deepEqual(
    sink.records().map((r) => r["revision"]),
    Array.from({ length: count }, (_, i) => i),
  );
});

Deno.test("BufferedAuditLog.close() writes what is left, and nothing later", async () => {
  const { sink, clock, audit } = open();
  sink.hold();
  audit.record(ENTRY);
  clock.advance(1000);
  audit.record({ ...ENTRY, revision: 18 });
  const closed = audit.close();
  audit.record({ ...ENTRY, revision: 19 });
  sink.go();
  await closed;
  await audit.close();
  deepEqual(sink.records().map((r) => r["revision"]), [17, 18]);
  ok(sink.isClosed);
});

Deno.test("BufferedAuditLog drops what a slow disk cannot take, and counts it", async () => {
  const { sink, clock, audit } = open();
  sink.hold();
  audit.record(ENTRY);
  clock.advance(1000);
  const line = JSON.stringify(ENTRY).length + 50;
  const count = Math.ceil(MAX_WAITING_CHARS / line) * 2;
  for (let i = 0; i < count; i++) audit.record(ENTRY);
  sink.go();
  await audit.close();
  const records = sink.records();
  const lost = records.find((record) => "dropped" in record);
  ok(lost !== undefined);
  equal(records.length - 1 + Number(lost["dropped"]), 1 + count);
  ok(sink.chunks.every((chunk) => chunk.length < MAX_WAITING_CHARS + 1024));
});

Deno.test("BufferedAuditLog says once that it cannot write, and how much was lost when it can again", async () => {
  const { sink, clock, errors, audit } = open();
  sink.failure = new Error("disk full");
  for (let i = 0; i < 3; i++) {
    audit.record(ENTRY);
    clock.advance(1000);
    await settle();
  }
  deepEqual(errors, ["audit log cannot be written"]);
  sink.failure = undefined;
  audit.record({ ...ENTRY, revision: 20 });
  clock.advance(1000);
  await settle();
  match(sink.chunks[0]!, /^\n\{"time":"[^"]+","dropped":3\}\n\{/);
  equal(sink.records()[1]!["revision"], 20);
  // The next outage is another one.
  sink.failure = new Error("disk full");
  audit.record(ENTRY);
  await audit.close();
  equal(errors.length, 2);
});

Deno.test("BufferedAuditLog writes what came during a write that failed", async () => {
  const { sink, clock, audit } = open();
  sink.hold();
  sink.failure = new Error("disk full");
  audit.record(ENTRY);
  clock.advance(1000);
  audit.record({ ...ENTRY, revision: 18 });
  sink.go();
  await settle();
  sink.failure = undefined;
  clock.advance(1000);
  await settle();
  deepEqual(sink.records().map((r) => r["dropped"] ?? r["revision"]), [1, 18]);
  await audit.close();
});

Deno.test("openAuditLog() appends to a file that only its owner may read", async () => {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/audit.log`;
  for (const revision of [1, 2]) {
    const audit = await openAuditLog(path, new FakeClock(), NO_LOG);
    audit.record({ ...ENTRY, revision });
    await audit.close();
  }
  const lines = (await Deno.readTextFile(path)).trimEnd().split("\n");
  deepEqual(lines.map((line) => JSON.parse(line).revision), [1, 2]);
  if (Deno.build.os !== "windows") {
    equal((await Deno.stat(path)).mode! & 0o777, 0o600);
  }
  await rejects(openAuditLog(`${dir}/no/audit.log`, new FakeClock(), NO_LOG));
  await Deno.remove(dir, { recursive: true });
});
