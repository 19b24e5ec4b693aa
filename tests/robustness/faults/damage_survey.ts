/**
 * Damages the files of a server in many places, one at a time, and counts what the next server makes of it.
 *
 *   deno run -A tests/robustness/faults/damage_survey.ts [TRIALS [SEED]]
 *
 * Prints a row for each kind of damage, then the messages, then each case that was served wrong or refused
 * without saying that the files could not be opened or loaded.
 */
import { Random } from "../../support/random.ts";
import {
  type Damage,
  type FileName,
  judge,
  makeVictim,
  randomDamage,
  type Verdict,
} from "./damage.ts";

const KINDS: readonly {
  readonly how: "kill" | "stop";
  readonly file: FileName;
  readonly kind: Damage["kind"];
}[] = [
  { how: "stop", file: "stele.db", kind: "flip" },
  { how: "stop", file: "stele.db", kind: "zero" },
  { how: "stop", file: "stele.db", kind: "cut" },
  { how: "kill", file: "stele.db", kind: "flip" },
  { how: "kill", file: "stele.db-wal", kind: "flip" },
  { how: "kill", file: "stele.db-wal", kind: "zero" },
  { how: "kill", file: "stele.db-wal", kind: "cut" },
  { how: "kill", file: "stele.db-wal", kind: "remove" },
];

const trials = Number(Deno.args[0] ?? 100);
const random = new Random(Number(Deno.args[1] ?? 1));
const victims = {
  kill: await makeVictim("kill"),
  stop: await makeVictim("stop"),
};
const messages = new Map<string, number>();
const wrong: string[] = [];

for (const { how, file, kind } of KINDS) {
  const { size } = await Deno.stat(`${victims[how].dir}/${file}`);
  const counts = new Map<Verdict["kind"], number>();
  for (let i = 0; i < (kind === "remove" ? 1 : trials); i++) {
    const damage = randomDamage(random, { kind, file, size });
    const verdict = await judge(victims[how], damage);
    counts.set(verdict.kind, (counts.get(verdict.kind) ?? 0) + 1);
    if (verdict.kind === "wrong") {
      wrong.push(`${how} ${JSON.stringify(damage)}: ${verdict.what}`);
    }
    if (verdict.kind === "refused" || verdict.kind === "fails") {
      const text = `${verdict.kind}: ${
        verdict.message.replaceAll(/"\/[^"]*"/g, "DIR")
      }`;
      messages.set(text, (messages.get(text) ?? 0) + 1);
      if (!/^Cannot (open|load)/.test(verdict.message)) {
        wrong.push(`${how} ${JSON.stringify(damage)}: ${verdict.message}`);
      }
    }
  }
  const row = [...counts].map(([verdict, n]) => `${n} ${verdict}`).join(", ");
  console.log(`after ${how}, ${kind} in ${file} (${size} bytes): ${row}`);
}
for (const [text, n] of messages) console.log(`${n} × ${text}`);
for (const line of wrong) console.log(`WRONG after ${line}`);
for (const { dir } of Object.values(victims)) {
  await Deno.remove(dir, { recursive: true });
}
