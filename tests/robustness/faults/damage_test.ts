import assert from "node:assert/strict";
import { Random, seeds } from "../../support/random.ts";
import {
  type Damage,
  type FileName,
  judge,
  makeVictim,
  randomDamage,
  safeRevision,
  type Verdict,
  type Victim,
} from "./damage.ts";

const TRIALS = 3;

async function withVictim(
  how: "kill" | "stop",
  work: (victim: Victim) => Promise<void>,
): Promise<void> {
  const victim = await makeVictim(how);
  try {
    await assertUndamaged(victim, how);
    await work(victim);
  } finally {
    await Deno.remove(victim.dir, { recursive: true });
  }
}

/** What nobody damaged is judged whole. */
async function assertUndamaged(
  victim: Victim,
  how: "kill" | "stop",
): Promise<void> {
  const file = how === "stop" ? "stele.db" : "stele.db-wal";
  const { size } = await Deno.stat(`${victim.dir}/${file}`);
  const verdict = await judge(victim, { kind: "cut", file, bytes: size });
  assert.deepEqual(verdict, { kind: "whole" });
}

async function* damages(
  victim: Victim,
  file: FileName,
  kinds: readonly Damage["kind"][],
): AsyncGenerator<{ damage: Damage; label: string }> {
  const { size } = await Deno.stat(`${victim.dir}/${file}`);
  for (const seed of seeds(TRIALS)) {
    const random = new Random(seed);
    for (const kind of kinds) {
      const damage = randomDamage(random, { kind, file, size });
      yield { damage, label: `STELE_SEED=${seed} ${JSON.stringify(damage)}` };
    }
  }
}

function assertRefused(verdict: Verdict, label: string): void {
  assert.equal(verdict.kind, "refused", `${label}: ${JSON.stringify(verdict)}`);
  if (verdict.kind !== "refused") return;
  assert.match(verdict.message, /^Cannot (open|load) "/, label);
}

Deno.test("a damaged WAL is refused if anything in it is lost", async () => {
  await withVictim("kill", async (victim) => {
    const kinds = ["flip", "zero", "cut", "remove"] as const;
    for await (
      const { damage, label } of damages(victim, "stele.db-wal", kinds)
    ) {
      const verdict = await judge(victim, damage);
      if (verdict.kind !== "whole") assertRefused(verdict, label);
    }
  });
});

Deno.test("a WAL that is damaged in a power failure is refused, or gives exactly what was acknowledged before the damage", async () => {
  await withVictim("kill", async (victim) => {
    const kinds = ["flip", "cut"] as const;
    for await (
      const { damage, label } of damages(victim, "stele.db-wal", kinds)
    ) {
      const verdict = await judge(victim, damage, { isMarked: false });
      if (verdict.kind === "prefix") {
        assert.ok(verdict.revision >= safeRevision(victim, damage), label);
      } else if (verdict.kind !== "whole") assertRefused(verdict, label);
    }
  });
});

Deno.test("a database with a missing end, a page of zeros, or a bit flipped in what it holds, is refused with a clear message", async () => {
  await withVictim("stop", async (victim) => {
    const kinds = ["zero", "cut", "flip"] as const;
    for await (const { damage, label } of damages(victim, "stele.db", kinds)) {
      const verdict = await judge(victim, damage);
      // Much of a page, or all of it, may hold nothing.
      if (verdict.kind === "whole" && damage.kind !== "cut") continue;
      assertRefused(verdict, label);
    }
  });
});
