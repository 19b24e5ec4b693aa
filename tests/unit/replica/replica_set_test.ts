import assert from "node:assert/strict";
import { type Logger, NO_LOG } from "../../../src/base/log.ts";
import {
  ReplicaSet,
  type ReplicaSetOptions,
} from "../../../src/replica/replica_set.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";
import { FakeReplicaTable } from "../../support/replica_table.ts";

const OPTIONS: ReplicaSetOptions = { random: () => 0.5 };

Deno.test("ReplicaSet.start() of the first server makes it the sequencer", async () => {
  const world = new World();
  const { set, roles } = world.server("a", 1n);
  await set.start();
  assert.equal(set.isSequencer, true);
  assert.deepEqual(roles, [true]);
  assert.equal(set.sequencer?.name, "a");
  assert.deepEqual(set.replicas.map(({ name }) => name), ["a"]);
});

Deno.test("ReplicaSet announces itself at most one and a half times a second while nothing happens", async () => {
  const world = new World();
  const { set } = world.server("a", 1n);
  await set.start();
  const before = world.table.announcements;
  await world.pass(7000);
  assert.equal(world.table.announcements - before, 10);
  assert.equal(set.isSequencer, true);
});

Deno.test("ReplicaSet of a second server follows the first, and both see both", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  await world.pass(700);
  for (const { set } of [a!, b!]) {
    assert.equal(set.sequencer?.name, "a");
    assert.deepEqual(set.replicas.map(({ name }) => name), ["a", "b"]);
  }
  assert.equal(b!.set.isSequencer, false);
  assert.deepEqual(b!.roles, []);
});

Deno.test("ReplicaSet takes over soon after the sequencer died, and not while its claim holds", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  a!.table.isAway = true;
  await world.pass(1650);
  assert.equal(a!.set.isSequencer, true);
  await world.pass(60);
  assert.equal(a!.set.isSequencer, false, "the margin before the claim's end");
  assert.deepEqual(a!.roles, [true, false]);
  assert.equal(b!.set.isSequencer, false);
  await world.pass(500);
  assert.equal(b!.set.isSequencer, true);
  assert.deepEqual(b!.roles, [true]);
});

Deno.test("ReplicaSet.stop() hands over within a heartbeat", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  await a!.set.stop();
  assert.deepEqual(a!.roles, [true, false]);
  await world.pass(750);
  assert.equal(b!.set.isSequencer, true);
  assert.deepEqual(b!.set.replicas.map(({ name }) => name), ["b"]);
});

Deno.test("ReplicaSet.refresh() hands over at once", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  await a!.set.stop();
  b!.set.refresh();
  b!.set.refresh();
  await world.pass(120);
  assert.equal(b!.set.isSequencer, true);
});

Deno.test("ReplicaSet.refresh() is not put off by those that follow", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  await a!.set.stop();
  for (let i = 0; i < 20; i++) {
    b!.set.refresh();
    await world.pass(10);
  }
  assert.equal(b!.set.isSequencer, true);
});

Deno.test("ReplicaSet.refreshed() knows who was there at the call, in one announcement for all that wait", async () => {
  const world = new World();
  const [a] = await world.start("a", "b");
  await world.pass(700);
  await world.server("c", 3n).set.start();
  assert.equal(a!.set.replicas.length, 2);
  const before = world.table.announcements;
  const waiting = Promise.all([a!.set.refreshed(), a!.set.refreshed()]);
  await world.pass(30);
  await waiting;
  assert.deepEqual(a!.set.replicas.map(({ name }) => name), ["a", "b", "c"]);
  assert.equal(world.table.announcements - before, 1);
});

Deno.test("ReplicaSet.refreshed() rejects when the database is away, and when this server stops", async () => {
  const world = new World();
  const [a] = await world.start("a");
  a!.table.isAway = true;
  const unhealthy = assert.rejects(a!.set.refreshed(), /unhealthy/);
  await world.pass(30);
  await unhealthy;
  const stopped = assert.rejects(a!.set.refreshed(), /stopped/);
  await a!.set.stop();
  await stopped;
  await assert.rejects(a!.set.refreshed(), /stopped/);
});

Deno.test("ReplicaSet.isSequencer is false at once after the process stood still", async () => {
  const world = new World();
  const { set } = world.server("a", 1n);
  await set.start();
  world.clock.jump(1700);
  assert.equal(set.isSequencer, false);
  assert.equal(set.sequencer, undefined);
});

Deno.test("ReplicaSet counts a claim from when it was asked for, not from when it was answered", async () => {
  const world = new World();
  const { set, table } = world.server("a", 1n);
  await set.start();
  table.after = () => world.sleep(1500);
  await world.pass(700 + 1500);
  assert.equal(set.isSequencer, true);
  await world.pass(210);
  assert.equal(set.isSequencer, false);
});

Deno.test("ReplicaSet does not believe in a claim whose answer comes after it ran out", async () => {
  const world = new World();
  const { set, table, roles } = world.server("a", 1n);
  await set.start();
  table.after = () => world.sleep(3000);
  await world.pass(3800);
  assert.equal(set.isSequencer, false);
  assert.deepEqual(roles, [true, false]);
});

Deno.test("ReplicaSet goes on as the sequencer when some answers are lost", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  a!.table.losesAnswers = true;
  await world.pass(1200);
  a!.table.losesAnswers = false;
  await world.pass(400);
  assert.equal(a!.set.isSequencer, true);
  assert.deepEqual(a!.roles, [true]);
  assert.equal(b!.set.isSequencer, false);
});

Deno.test("ReplicaSet whose answers are all lost is not the sequencer, and nobody else while it claims", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  a!.table.losesAnswers = true;
  await world.pass(5000);
  assert.equal(a!.set.isSequencer, false);
  assert.equal(b!.set.isSequencer, false);
});

Deno.test("ReplicaSet: of two that want the claim one has it, at any moment", async () => {
  const world = new World();
  const servers = await world.start("a", "b", "c");
  const isHeldTwice = () =>
    servers.filter(({ set }) => set.isSequencer).length > 1;
  for (let round = 0; round < 12; round++) {
    const holder = servers.find(({ set }) => set.isSequencer);
    assert.ok(holder !== undefined, `round ${round}`);
    holder.table.isAway = true;
    await world.pass(4000, () => assert.equal(isHeldTwice(), false));
    assert.equal(holder.set.isSequencer, false);
    holder.table.isAway = false;
  }
});

Deno.test("ReplicaSet comes back when the database was away for long", async () => {
  const world = new World();
  const log = new CapturingLogger();
  const { set, table, roles } = world.server("a", 1n, log);
  await set.start();
  table.isAway = true;
  await world.pass(60_000);
  assert.equal(set.isSequencer, false);
  const warnings = log.entries.filter(({ level }) => level === "warn").length;
  assert.ok(warnings >= 1 && warnings <= 7, `${warnings} warnings`);
  table.isAway = false;
  await world.pass(2100);
  assert.equal(set.isSequencer, true);
  assert.deepEqual(roles, [true, false, true]);
});

Deno.test("ReplicaSet.start() rejects when the database is away", async () => {
  const world = new World();
  const { set, table } = world.server("a", 1n);
  table.isAway = true;
  await assert.rejects(set.start(), /away/);
});

Deno.test("ReplicaSet.start() takes another id if a process that lives has the same", async () => {
  const world = new World();
  const a = world.server("a", 1n);
  await a.set.start();
  await world.pass(350);
  const log = new CapturingLogger();
  const twin = world.server("a", 1n, log);
  const started = twin.set.start();
  await world.pass(1200);
  await started;
  assert.equal(a.set.id, 1n);
  assert.notEqual(twin.set.id, 1n);
  assert.equal(twin.set.isSequencer, false);
  assert.match(log.entries[0]!.msg, /same name and addresses/);
  await world.pass(700);
  assert.equal(a.set.replicas.length, 2);
});

Deno.test("ReplicaSet.start() keeps its id after a crash, and takes the claim when it has run out", async () => {
  const world = new World();
  const before = world.server("a", 1n);
  await before.set.start();
  before.table.isAway = true;
  await world.pass(100);
  const after = world.server("a", 1n);
  const started = after.set.start();
  await world.pass(1100);
  await started;
  assert.equal(after.set.id, 1n);
  assert.equal(after.set.isSequencer, false);
  assert.equal(after.set.replicas.length, 1, "one id is listed once");
  await world.pass(1000);
  assert.equal(after.set.isSequencer, true);
});

Deno.test("ReplicaSet.replicas leaves out who has been silent for ten seconds", async () => {
  const world = new World();
  const [a, b] = await world.start("a", "b");
  b!.table.isAway = true;
  await world.pass(9000);
  assert.equal(a!.set.replicas.length, 2);
  await world.pass(2000);
  assert.equal(a!.set.replicas.length, 1);
});

/** A clock that can also jump without firing what was due, as a process does that is stopped. */
class StoppableClock extends FakeClock {
  #jumpedMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.#jumpedMs;
  }

  jump(ms: number): void {
    this.#jumpedMs += ms;
  }
}

/** A database's roster and the servers on it, in one thread of time. */
class World {
  readonly clock = new StoppableClock();
  readonly table = new FakeReplicaTable(this.clock);
  #lastIncarnation = 100n;

  server(
    name: string,
    id: bigint,
    log: Logger = NO_LOG,
  ) {
    const table = this.table.connect();
    const incarnation = ++this.#lastIncarnation;
    const clientUrls = [`http://${name}:2379`];
    const set = new ReplicaSet(
      table,
      { id, incarnation, name, clientUrls, version: "1" },
      { appliedSeq: 0, isStarved: false },
      this.clock,
      log,
      OPTIONS,
    );
    const roles: boolean[] = [];
    set.onRoleChange((isSequencer) => roles.push(isSequencer));
    return { set, table, roles };
  }

  /** One after the other: the first is the sequencer. */
  async start(...names: string[]) {
    const servers = names.map((name, i) => this.server(name, BigInt(i + 1)));
    for (const { set } of servers) await set.start();
    return servers;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(ms, resolve));
  }

  /** Lets time go by in small steps, and what they set off happen. */
  async pass(ms: number, look: () => void = () => {}): Promise<void> {
    for (let gone = 0; gone < ms; gone += 10) {
      this.clock.advance(10);
      for (let i = 0; i < 20; i++) await Promise.resolve();
      look();
    }
  }
}
