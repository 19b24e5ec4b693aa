import assert from "node:assert/strict";
import {
  errorText,
  type LogOptions,
  LogThrottle,
  NO_LOG,
  StderrLogger,
} from "../../../src/base/log.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";

function makeLogger(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const sink = { write: (line: string) => void lines.push(line) };
  const log = new StderrLogger({
    clock: new FakeClock(),
    outputs: [sink],
    ...options,
  });
  return { log, lines, entry: () => JSON.parse(lines.at(-1)!) };
}

Deno.test("StderrLogger writes one JSON object per line", () => {
  const { log, lines } = makeLogger();
  log.info("two\nlines", { revision: 7, on: true });
  assert.deepEqual(lines, [
    '{"level":"info","ts":"2023-11-14T22:13:20.000Z","msg":"two\\nlines","revision":7,"on":true}\n',
  ]);
});

Deno.test("StderrLogger writes tab-separated lines for a console", () => {
  const { log, lines } = makeLogger({ format: "console" });
  log.warn("plain");
  log.warn("with fields", { a: 1 });
  assert.deepEqual(lines, [
    "2023-11-14T22:13:20.000Z\twarn\tplain\n",
    '2023-11-14T22:13:20.000Z\twarn\twith fields\t{"a":1}\n',
  ]);
});

for (
  const [level, written] of [
    ["debug", ["debug", "info", "warn", "error"]],
    ["info", ["info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["error", ["error"]],
  ] as const
) {
  Deno.test(`StderrLogger at ${level} writes ${written}`, () => {
    const { log, lines } = makeLogger({ level });
    const all = ["debug", "info", "warn", "error"] as const;
    for (const each of all) log[each]("x");
    assert.deepEqual(lines.map((line) => JSON.parse(line).level), written);
    assert.deepEqual(all.filter((each) => log.enabled(each)), written);
    assert.deepEqual(
      all.filter((each) => log.child({ a: 1 }).enabled(each)),
      written,
    );
  });
}

Deno.test("StderrLogger.child() adds its fields, and the entry's own win", () => {
  const { log, entry } = makeLogger();
  log.child({ a: 1, b: 1 }).child({ b: 2, c: 2 }).info("x", { c: 3 });
  const { a, b, c } = entry();
  assert.deepEqual([a, b, c], [1, 2, 3]);
});

Deno.test("StderrLogger keeps its own fields apart from the caller's", () => {
  const { log, entry } = makeLogger();
  log.info("x", { msg: "y", level: 3, ts: 0 });
  assert.equal(entry().msg, "x");
  assert.equal(entry().level, "info");
  assert.equal(entry().msg_, "y");
});

Deno.test("StderrLogger writes an error with its causes as one text, as etcd does, and its stack when it is an error", () => {
  const { log, entry } = makeLogger();
  const error = new TypeError("outer", {
    cause: new Error("middle", { cause: "inner" }),
  });
  log.warn("x", { error });
  assert.equal(entry().error, "outer: middle: inner");
  assert.equal(entry().errorStack, undefined);
  log.error("x", { error });
  assert.match(entry().errorStack, /^TypeError: outer\n/);
});

Deno.test("StderrLogger ends a circle of causes", () => {
  const { log, entry } = makeLogger();
  const error = new Error("a");
  error.cause = error;
  log.warn("x", { error });
  assert.equal(entry().error, "a");
});

Deno.test("StderrLogger never writes the contents of byte strings", () => {
  const { log, lines, entry } = makeLogger();
  const value = new TextEncoder().encode("secret");
  log.info("x", { value, list: [value], buffer: value.buffer });
  assert.equal(entry().value, "6 bytes");
  assert.deepEqual(entry().list, ["6 bytes"]);
  assert.equal(entry().buffer, "6 bytes");
  assert.doesNotMatch(lines[0]!, /secret|115/);
});

Deno.test("StderrLogger writes what JSON has no word for", () => {
  const { log, entry } = makeLogger();
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  log.info("x", {
    id: 2n ** 64n - 1n,
    circle,
    none: undefined,
    d: new Date(0),
  });
  assert.equal(entry().id, "18446744073709551615");
  assert.equal(entry().d, "1970-01-01T00:00:00.000Z");
  assert.ok(!("none" in entry()));
});

Deno.test("StderrLogger survives an output that fails, and still writes to the others", () => {
  const lines: string[] = [];
  const broken = {
    write() {
      throw new Error("disk full");
    },
  };
  const { log } = makeLogger({
    outputs: [broken, { write: (line) => void lines.push(line) }],
  });
  log.info("x");
  assert.equal(lines.length, 1);
});

Deno.test("NO_LOG says that nothing is enabled", () => {
  assert.equal(NO_LOG.enabled("error"), false);
  assert.equal(NO_LOG.child({}), NO_LOG);
});

Deno.test("LogThrottle lets a message through once per period and says how many it kept", () => {
  const log = new CapturingLogger();
  const clock = new FakeClock();
  const throttle = new LogThrottle(log, clock, { periodMs: 1000 });
  throttle.warn("slow", { n: 1 });
  throttle.warn("slow", { n: 2 });
  throttle.warn("other");
  clock.advance(999);
  throttle.warn("slow", { n: 3 });
  clock.advance(1);
  throttle.warn("slow", { n: 4 });
  clock.advance(1000);
  throttle.warn("slow", { n: 5 });
  assert.deepEqual(log.entries.map(({ msg, fields }) => [msg, fields]), [
    ["slow", { n: 1 }],
    ["other", {}],
    ["slow", { n: 4, suppressed: 2 }],
    ["slow", { n: 5 }],
  ]);
});

Deno.test("errorText() puts the causes behind the message", () => {
  const cause = new Error("file is locked", { cause: 11 });
  assert.equal(
    errorText(new Error('Cannot open "a"', { cause })),
    'Cannot open "a": file is locked: 11',
  );
  const known = new Error('Cannot open "a": file is locked', { cause });
  assert.equal(
    errorText(known),
    'Cannot open "a": file is locked: 11',
    "what is said already is not said again",
  );
  assert.equal(errorText("text"), "text");
  assert.equal(errorText(new RangeError("")), "RangeError");
});
