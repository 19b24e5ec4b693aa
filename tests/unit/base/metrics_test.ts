import assert from "node:assert/strict";
import { exponentialBuckets, Registry } from "../../../src/base/metrics.ts";
import { parseExposition, sampleValue } from "../../support/exposition.ts";

Deno.test("Registry.exposition() shows HELP, TYPE and value, in order of names", () => {
  const registry = new Registry();
  registry.gauge("b", "Second.").set(-1.5);
  registry.counter("a_total", "First.").inc(3);
  assert.equal(
    registry.exposition(),
    "# HELP a_total First.\n# TYPE a_total counter\na_total 3\n" +
      "# HELP b Second.\n# TYPE b gauge\nb -1.5\n",
  );
});

Deno.test("Registry.exposition() escapes help and label values", () => {
  const registry = new Registry();
  const value = 'a"b\\c\nd';
  registry.counters("x_total", "back\\slash\nnewline", ["l"]).with(value).inc();
  const text = registry.exposition();
  assert.match(text, /^# HELP x_total back\\\\slash\\nnewline$/m);
  assert.match(text, /^x_total\{l="a\\"b\\\\c\\nd"\} 1$/m);
  const family = parseExposition(text).get("x_total")!;
  assert.equal(family.help, "back\\slash\nnewline");
  assert.deepEqual(family.samples[0]!.labels, { l: value });
});

Deno.test("Histogram.observe() counts a value into the bucket whose bound it does not exceed", () => {
  const registry = new Registry();
  const histogram = registry.histogram("h", "H.", [1, 2]);
  for (const value of [0.5, 1, 1.5, 2, 2.5]) histogram.observe(value);
  const text = registry.exposition();
  assert.equal(sampleValue(text, "h_bucket", { le: "1" }), 2);
  assert.equal(sampleValue(text, "h_bucket", { le: "2" }), 4);
  assert.equal(sampleValue(text, "h_bucket", { le: "+Inf" }), 5);
  assert.equal(sampleValue(text, "h_sum"), 7.5);
  assert.equal(sampleValue(text, "h_count"), 5);
  assert.equal(histogram.count, 5);
  assert.equal(parseExposition(text).get("h")!.type, "histogram");
});

Deno.test("Registry.histograms() keeps a child per label values", () => {
  const registry = new Registry();
  const family = registry.histograms("h", "H.", ["op", "ok"], [1]);
  family.with("put", "true").observe(0.5);
  family.with("put", "false").observe(3);
  const text = registry.exposition();
  const labels = { op: "put", ok: "true", le: "1" };
  assert.equal(sampleValue(text, "h_bucket", labels), 1);
  assert.equal(sampleValue(text, "h_sum", { op: "put", ok: "false" }), 3);
});

Deno.test("Family.with() returns the same child for the same values", () => {
  const family = new Registry().counters("c_total", "C.", ["a", "b"]);
  assert.equal(family.with("x", "y"), family.with("x", "y"));
  assert.notEqual(family.with("x", "y"), family.with("y", "x"));
  assert.throws(() => family.with("x"), RangeError);
});

Deno.test("Family.with() makes no more children than its bound", () => {
  const registry = new Registry();
  const family = registry.counters("c_total", "C.", ["a"], { maxChildren: 2 });
  for (const value of ["1", "2", "3", "4"]) family.with(value).inc();
  assert.equal(family.with("3"), family.with("4"));
  const { samples } = parseExposition(registry.exposition()).get("c_total")!;
  assert.deepEqual(samples.map((s) => s.labels.a), ["1", "2"]);
});

Deno.test("Registry.callback() and beforeRead() are asked for each exposition", () => {
  const registry = new Registry();
  let refreshed = 0;
  registry.beforeRead(() => refreshed++);
  registry.callback("gauge", "g", "G.", () => refreshed * 10);
  assert.equal(sampleValue(registry.exposition(), "g"), 10);
  assert.equal(sampleValue(registry.exposition(), "g"), 20);
});

Deno.test("Registry.exposition() leaves out a family that has no children yet", () => {
  const registry = new Registry();
  registry.counters("c_total", "C.", ["a"]);
  registry.gauge("g", "G.");
  assert.deepEqual([...parseExposition(registry.exposition()).keys()], ["g"]);
});

Deno.test("Registry.exposition() writes infinities as Prometheus reads them", () => {
  const registry = new Registry();
  registry.gauge("a", "A.").set(Infinity);
  registry.gauge("b", "B.").set(-Infinity);
  assert.match(registry.exposition(), /^a \+Inf$/m);
  assert.match(registry.exposition(), /^b -Inf$/m);
});

Deno.test("Registry refuses a name twice, and names that are none", () => {
  const registry = new Registry();
  registry.counter("a", "A.");
  assert.throws(() => registry.gauge("a", "A."), RangeError);
  assert.throws(() => registry.gauge("a-b", "A."), RangeError);
  assert.throws(() => registry.gauges("b", "B.", ["0"]), RangeError);
  assert.throws(() => registry.histograms("c", "C.", ["le"], [1]), RangeError);
});

Deno.test("exponentialBuckets() shows no rounding errors", () => {
  assert.deepEqual(exponentialBuckets(0.1, 2, 4), [0.1, 0.2, 0.4, 0.8]);
  assert.equal(exponentialBuckets(0.0001, 2, 20).at(-1), 52.4288);
});
