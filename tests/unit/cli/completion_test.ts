import assert from "node:assert/strict";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { main } from "../../../src/cli/main.ts";
import { FLAGS } from "../../../src/config/flags.ts";
import { FakeProcess } from "../../support/fake_process.ts";

async function script(shell: string): Promise<string> {
  const process = new FakeProcess();
  const status = await main(["completion", shell], process, () => {
    throw new Error("no server was to be started");
  });
  assert.equal(status, 0);
  assert.equal(process.err, "");
  return process.out;
}

/** What bash would offer for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const { code, stdout } = await new Deno.Command("bash", {
    args: [
      "-c",
      `${await script("bash")}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _stele
printf '%s\\n' "\${COMPREPLY[@]}"`,
    ],
  }).output();
  assert.equal(code, 0);
  return new TextDecoder().decode(stdout).trim().split("\n");
}

Deno.test("completion: bash offers commands, and flags of serve, first", async () => {
  const words = await offered("stele", "");
  for (const { name } of COMMANDS) assert.ok(words.includes(name), name);
  for (const name of FLAGS.keys()) {
    assert.ok(words.includes(`--${name}`) || name === "version", name);
  }
});

const OFFERS: readonly (readonly [string[], string[]])[] = [
  [["stele", "hist"], ["history"]],
  [["stele", "history", "--pre"], ["--prefix"]],
  [["stele", "history", "-w", "t"], ["table"]],
  [["stele", "history", "--write-out", "=", "j"], ["json"]],
  [["stele", "history", "--write-out", "="], ["simple", "table", "json"]],
  [["stele", "status", "--cacert", "x"], [""]],
  [["stele", "bench", "--rate", "5", "mi"], ["mixed"]],
  [["stele", "completion", ""], ["bash", "zsh", "fish", "-h", "--help"]],
  [["stele", "help", "comp"], ["compact", "completion"]],
  [["stele", "--name", "a", "--data-d"], ["--data-dir"]],
  [["stele", "serve", "--data-d"], ["--data-dir"]],
  [["stele", "nonsense", "--data-d"], [""]],
];

for (const [words, offers] of OFFERS) {
  Deno.test(`completion: bash offers ${offers} for ${words.join(" ")}`, async () => {
    assert.deepEqual(await offered(...words), offers);
  });
}

Deno.test("completion: the scripts for zsh and fish have every command and flag", async () => {
  const zsh = await script("zsh");
  const fish = await script("fish");
  assert.match(zsh, /^#compdef stele\n/);
  for (const { name, summary } of COMMANDS) {
    assert.ok(zsh.includes(`'${name}:${summary.replaceAll(":", "\\:")}'`));
    assert.ok(fish.includes(`-f -a ${name} -d '${summary}'`), name);
  }
  for (const name of FLAGS.keys()) {
    if (name === "version") continue;
    assert.match(zsh, new RegExp(`--${name}[=[}]`));
    assert.match(fish, new RegExp(`-l ${name}( |$)`, "m"));
  }
  // Quotes that are not closed would swallow the rest.
  for (const line of zsh.split("\n").concat(fish.split("\n"))) {
    if (line.startsWith("#")) continue;
    const plain = line.replaceAll("'\\''", "").replaceAll("\\'", "");
    assert.equal(plain.split("'").length % 2, 1, line);
  }
});
