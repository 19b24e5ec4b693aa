/**
 * Numbers for Prometheus: counters, gauges and histograms, with or without labels, and their text form
 * (exposition format 0.0.4).
 *
 * A family's child for certain label values is looked up once with `with(...)` and kept by whoever counts:
 * counting is then one addition, and no string is built before somebody reads `/metrics`.
 */

/** A number that only grows. */
export class Counter {
  value = 0;

  inc(by = 1): void {
    this.value += by;
  }
}

/** A number that goes up and down. */
export class Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  inc(by = 1): void {
    this.value += by;
  }

  dec(by = 1): void {
    this.value -= by;
  }
}

/** Counts observations in buckets; `bounds` are the buckets' inclusive upper ends, ascending, without +Inf. */
export class Histogram {
  readonly bounds: readonly number[];
  /** One more than bounds; not cumulative. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  get count(): number {
    let total = 0;
    for (const n of this.counts) total += n;
    return total;
  }

  observe(value: number): void {
    const bounds = this.bounds;
    let i = 0;
    while (i < bounds.length && value > bounds[i]!) i++;
    this.counts[i]! += 1;
    this.sum += value;
  }
}

/** One family's children by label values, each made on first use. */
export class Family<M extends Counter | Gauge | Histogram> {
  readonly labels: readonly string[];
  readonly #make: () => M;
  readonly #maxChildren: number;
  readonly #children = new Map<string, Child<M>>();
  #surplus: M | undefined;

  constructor(labels: readonly string[], make: () => M, maxChildren: number) {
    this.labels = labels;
    this.#make = make;
    this.#maxChildren = maxChildren;
  }

  /**
   * The child for these values, in the order of the family's labels. Keep it: this call builds a string.
   * Beyond the bound of children a shared one is returned, which is counted but not shown.
   */
  with(...values: string[]): M {
    if (values.length !== this.labels.length) {
      throw new RangeError("a value for each label of the metric");
    }
    const key = values.join("\xff");
    let child = this.#children.get(key);
    if (child === undefined) {
      if (this.#children.size >= this.#maxChildren) {
        return this.#surplus ??= this.#make();
      }
      child = new Child(this.labels, values, this.#make());
      this.#children.set(key, child);
    }
    return child.metric;
  }

  /** Forgets all children. */
  clear(): void {
    this.#children.clear();
  }

  children(): Iterable<Child<M>> {
    return this.#children.values();
  }
}

/** A child and its labels. There are a thousand from the start: their texts are made when somebody reads them. */
class Child<M> {
  readonly metric: M;
  readonly #names: readonly string[];
  readonly #values: readonly string[];
  #labels: string | undefined;

  constructor(names: readonly string[], values: readonly string[], metric: M) {
    this.#names = names;
    this.#values = values;
    this.metric = metric;
  }

  /** The label pairs as text, `a="b",c="d"`. */
  get labels(): string {
    return this.#labels ??= labelText(this.#names, this.#values);
  }
}

type Type = "counter" | "gauge" | "histogram";

interface Entry {
  readonly help: string;
  readonly type: Type;
  write(out: string[]): void;
}

/** Children of one family at most, unless it says otherwise: labels must never follow what clients send. */
const DEFAULT_MAX_CHILDREN = 2000;

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** `count` bounds from `start`, each `factor` times the one before. */
export function exponentialBuckets(
  start: number,
  factor: number,
  count: number,
): number[] {
  const bounds: number[] = [];
  for (let i = 0, at = start; i < count; i++, at *= factor) {
    bounds.push(Number(at.toPrecision(12)));
  }
  return bounds;
}

/** The content type of `Registry.exposition()`. */
export const EXPOSITION_CONTENT_TYPE =
  "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

export interface FamilyOptions {
  /** Default 2000. */
  readonly maxChildren?: number;
}

/** All families of a server, shown in the order of their names. */
export class Registry {
  readonly #entries = new Map<string, Entry>();
  readonly #beforeRead: (() => void)[] = [];

  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.#add(
      name,
      help,
      "counter",
      (out) => out.push(name, " ", number(counter.value), "\n"),
    );
    return counter;
  }

  gauge(name: string, help: string): Gauge {
    const gauge = new Gauge();
    this.#add(
      name,
      help,
      "gauge",
      (out) => out.push(name, " ", number(gauge.value), "\n"),
    );
    return gauge;
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.#add(
      name,
      help,
      "histogram",
      (out) => writeHistogram(out, name, "", histogram),
    );
    return histogram;
  }

  counters(
    name: string,
    help: string,
    labels: readonly string[],
    options: FamilyOptions = {},
  ): Family<Counter> {
    return this.#addFamily(
      name,
      help,
      "counter",
      labels,
      () => new Counter(),
      options,
    );
  }

  gauges(
    name: string,
    help: string,
    labels: readonly string[],
    options: FamilyOptions = {},
  ): Family<Gauge> {
    return this.#addFamily(
      name,
      help,
      "gauge",
      labels,
      () => new Gauge(),
      options,
    );
  }

  histograms(
    name: string,
    help: string,
    labels: readonly string[],
    bounds: readonly number[],
    options: FamilyOptions = {},
  ): Family<Histogram> {
    const family = new Family(
      labels,
      () => new Histogram(bounds),
      options.maxChildren ?? DEFAULT_MAX_CHILDREN,
    );
    checkLabels(labels);
    this.#add(name, help, "histogram", (out) => {
      for (const child of family.children()) {
        writeHistogram(out, name, child.labels, child.metric);
      }
    });
    return family;
  }

  /** A gauge or counter whose value somebody else keeps: `read` is called for each exposition. */
  callback(
    type: "counter" | "gauge",
    name: string,
    help: string,
    read: () => number,
  ): void {
    this.#add(
      name,
      help,
      type,
      (out) => out.push(name, " ", number(read()), "\n"),
    );
  }

  /** Called at the start of each exposition, for values that are cheaper to fetch together. */
  beforeRead(refresh: () => void): void {
    this.#beforeRead.push(refresh);
  }

  /** Everything, in Prometheus' text format. Families with labels but without children yet are left out. */
  exposition(): string {
    for (const refresh of this.#beforeRead) refresh();
    const out: string[] = [];
    const body: string[] = [];
    for (const name of [...this.#entries.keys()].sort()) {
      const entry = this.#entries.get(name)!;
      body.length = 0;
      entry.write(body);
      if (body.length === 0) continue;
      out.push("# HELP ", name, " ", escapeHelp(entry.help), "\n");
      out.push("# TYPE ", name, " ", entry.type, "\n");
      for (const part of body) out.push(part);
    }
    return out.join("");
  }

  #addFamily<M extends Counter | Gauge>(
    name: string,
    help: string,
    type: Type,
    labels: readonly string[],
    make: () => M,
    options: FamilyOptions,
  ): Family<M> {
    checkLabels(labels);
    const family = new Family(
      labels,
      make,
      options.maxChildren ?? DEFAULT_MAX_CHILDREN,
    );
    this.#add(name, help, type, (out) => {
      for (const child of family.children()) {
        out.push(
          name,
          "{",
          child.labels,
          "} ",
          number(child.metric.value),
          "\n",
        );
      }
    });
    return family;
  }

  #add(name: string, help: string, type: Type, write: Entry["write"]): void {
    if (!NAME.test(name)) throw new RangeError("not a metric's name");
    if (this.#entries.has(name)) {
      throw new RangeError("a metric has one declaration");
    }
    this.#entries.set(name, { help, type, write });
  }
}

function checkLabels(labels: readonly string[]): void {
  for (const label of labels) {
    if (!LABEL.test(label) || label === "le") {
      throw new RangeError("not a label's name");
    }
  }
}

function writeHistogram(
  out: string[],
  name: string,
  labels: string,
  { bounds, counts, sum }: Histogram,
): void {
  const before = labels === "" ? "" : `${labels},`;
  let total = 0;
  for (let i = 0; i < counts.length; i++) {
    total += counts[i]!;
    const le = i < bounds.length ? number(bounds[i]!) : "+Inf";
    out.push(name, "_bucket{", before, 'le="', le, '"} ', number(total), "\n");
  }
  const at = labels === "" ? "" : `{${labels}}`;
  out.push(
    name,
    "_sum",
    at,
    " ",
    number(sum),
    "\n",
    name,
    "_count",
    at,
    " ",
    number(total),
    "\n",
  );
}

function labelText(
  names: readonly string[],
  values: readonly string[],
): string {
  return names.map((name, i) => `${name}="${escapeLabel(values[i]!)}"`).join(
    ",",
  );
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll(
    '"',
    '\\"',
  );
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function number(value: number): string {
  if (value === Infinity) return "+Inf";
  if (value === -Infinity) return "-Inf";
  return String(value);
}
