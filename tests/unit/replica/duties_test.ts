import assert from "node:assert/strict";
import { NO_LOG } from "../../../src/base/log.ts";
import { Duties, type Duty } from "../../../src/replica/duties.ts";
import { FakeClock } from "../../support/fake_clock.ts";

function recorded(name: string, done: string[]): Duty {
  return {
    name,
    begin: () => void done.push(`begin ${name}`),
    end: () => void done.push(`end ${name}`),
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("Duties begin in order and end in reverse order", async () => {
  const done: string[] = [];
  const duties = new Duties(
    [recorded("a", done), recorded("b", done)],
    new FakeClock(),
    NO_LOG,
  );
  duties.set(true);
  await settled();
  assert.ok(duties.isOn);
  duties.set(false);
  assert.ok(!duties.isOn, "at once");
  await settled();
  assert.deepEqual(done, ["begin a", "begin b", "end b", "end a"]);
});

Deno.test("Duties that are taken away while they begin are ended as far as they had begun", async () => {
  const done: string[] = [];
  const gate = Promise.withResolvers<void>();
  const slow: Duty = { ...recorded("slow", done), begin: () => gate.promise };
  const duties = new Duties(
    [recorded("a", done), slow, recorded("b", done)],
    new FakeClock(),
    NO_LOG,
  );
  duties.set(true);
  await settled();
  duties.set(false);
  gate.resolve();
  await duties.stop();
  assert.deepEqual(done, ["begin a", "end slow", "end a"]);
});

Deno.test("Duties try again when one cannot begin", async () => {
  const done: string[] = [];
  const clock = new FakeClock();
  let failures = 1;
  const fragile: Duty = {
    ...recorded("fragile", done),
    begin: () => {
      if (failures-- > 0) throw new Error("not yet");
    },
  };
  const duties = new Duties([fragile], clock, NO_LOG);
  duties.set(true);
  await settled();
  assert.ok(!duties.isOn);
  clock.advance(500);
  await settled();
  assert.ok(duties.isOn);
  await duties.stop();
  assert.deepEqual(done, ["end fragile"]);
});
