import { equal, match, ok, rejects } from "node:assert/strict";
import {
  MAX_PASSWORD_JOBS,
  PasswordThread,
} from "../../../src/auth/password_thread.ts";
import { BcryptPasswords } from "../../../src/auth/passwords.ts";
import { VERIFIED_PASSWORD_MS } from "../../../src/auth/verified_passwords.ts";
import { FakeClock } from "../../support/fake_clock.ts";

/** The lowest cost there is, so that tests are fast. */
const COST = 4;

/** "secret", hashed by etcd 3.7.1 at cost 4. */
const GO_HASH = "$2a$04$ihQ1WHwyf8IgOQpHQpxGNu9u5MLmc8R/ayjFBla1Jw9xsPwUSPyTS";

async function withPasswords(
  run: (passwords: BcryptPasswords, clock: FakeClock) => Promise<void>,
): Promise<void> {
  const clock = new FakeClock();
  const passwords = new BcryptPasswords(clock, { cost: COST });
  try {
    await run(passwords, clock);
  } finally {
    await passwords.close();
  }
}

Deno.test("BcryptPasswords.hash() makes a hash of its cost, another one each time", () =>
  withPasswords(async (passwords) => {
    const hash = await passwords.hash("secret");
    match(hash, /^\$2b\$04\$[./A-Za-z0-9]{53}$/);
    ok(await passwords.verify("secret", hash));
    ok(!await passwords.verify("secre", hash));
    ok(!await passwords.verify("", hash));
    ok(await passwords.hash("secret") !== hash);
  }));

Deno.test("BcryptPasswords.hash() takes 72 bytes of UTF-8 and no more", () =>
  withPasswords(async (passwords) => {
    for (
      const longest of ["x".repeat(72), "é".repeat(36), "\u{1f511}".repeat(18)]
    ) {
      const hash = await passwords.hash(longest);
      ok(await passwords.verify(longest, hash));
      ok(!await passwords.verify(longest.slice(0, -2), hash));
      await rejects(passwords.hash(longest + "x"), { kind: "passwordTooLong" });
      // As in etcd: what lies behind byte 72 was never looked at.
      ok(await passwords.verify(longest + "\u{1f511}".repeat(100), hash));
    }
  }));

Deno.test("BcryptPasswords.verify() knows hashes that etcd made", () =>
  withPasswords(async (passwords) => {
    ok(await passwords.verify("secret", GO_HASH));
    ok(!await passwords.verify("Secret", GO_HASH));
  }));

Deno.test("BcryptPasswords.verify() says no to unknown users and to what is no hash, after a comparison", () =>
  withPasswords(async (passwords) => {
    const unknown = [
      undefined,
      "",
      "secret",
      GO_HASH.slice(0, -1),
      GO_HASH + "x",
      GO_HASH.replace("$04$", "$32$"),
    ];
    for (const hash of unknown) {
      equal(await passwords.verify("secret", hash), false);
    }
    // Tests do not measure time: that the worker is asked shows in its refusal when it is full.
    const blocked = fill(passwords);
    for (const hash of unknown) {
      await rejects(passwords.verify("secret", hash), {
        kind: "tooManyRequests",
      });
    }
    await blocked;
  }));

Deno.test("BcryptPasswords.verify() of a pair that was right is answered without bcrypt, for five minutes", () =>
  withPasswords(async (passwords, clock) => {
    const hash = await passwords.hash("secret");
    ok(await passwords.verify("secret", hash));
    const blocked = fill(passwords);
    ok(await passwords.verify("secret", hash));
    clock.advance(VERIFIED_PASSWORD_MS - 1);
    ok(await passwords.verify("secret", hash));
    clock.advance(1);
    await rejects(passwords.verify("secret", hash), {
      kind: "tooManyRequests",
    });
    await blocked;
    ok(await passwords.verify("secret", hash));
  }));

Deno.test("BcryptPasswords.verify() does not remember what was wrong", () =>
  withPasswords(async (passwords) => {
    const hash = await passwords.hash("secret");
    ok(!await passwords.verify("wrong", hash));
    const blocked = fill(passwords);
    await rejects(passwords.verify("wrong", hash), { kind: "tooManyRequests" });
    await rejects(passwords.verify("secret", undefined), {
      kind: "tooManyRequests",
    });
    await rejects(passwords.hash("x"), { kind: "tooManyRequests" });
    await blocked;
  }));

Deno.test("BcryptPasswords.verify() of one pair many times at once is one comparison", () =>
  withPasswords(async (passwords) => {
    const hash = await passwords.hash("secret");
    const many = Array.from(
      { length: 10 * MAX_PASSWORD_JOBS },
      (_, i) => passwords.verify(i % 2 === 0 ? "secret" : "wrong", hash),
    );
    for (const [i, isRight] of (await Promise.all(many)).entries()) {
      equal(isRight, i % 2 === 0);
    }
  }));

Deno.test("BcryptPasswords.close() ends what is under way", async () => {
  const passwords = new BcryptPasswords(new FakeClock(), { cost: COST });
  const hash = passwords.verify("secret", GO_HASH);
  const refused = rejects(hash, { kind: "stopped" });
  await passwords.close();
  await refused;
  await rejects(passwords.verify("secret", GO_HASH), { kind: "stopped" });
});

Deno.test("PasswordThread runs a worker only while there is work, and a minute longer", async () => {
  const clock = new FakeClock();
  const thread = new PasswordThread(clock);
  const job = { op: "compare", password: "secret", hash: GO_HASH } as const;
  equal(thread.isRunning, false);
  equal(await thread.run(job), true);
  clock.advance(59_999);
  ok(thread.isRunning);
  const answer = thread.run(job);
  // Under way, a job is waited for however long it takes.
  clock.advance(3_600_000);
  equal(await answer, true);
  clock.advance(59_999);
  ok(thread.isRunning);
  clock.advance(1);
  equal(thread.isRunning, false);
  equal(await thread.run(job), true);
  thread.close();
  equal(thread.isRunning, false);
});

Deno.test("PasswordThread.run() passes on what bcrypt cannot do", async () => {
  const thread = new PasswordThread(new FakeClock());
  await rejects(
    thread.run({
      op: "compare",
      password: "secret",
      hash: "$9z$04$" + "x".repeat(53),
    }),
    { message: /^Cannot use bcrypt: / },
  );
  thread.close();
});

/** Takes every place in the worker at once; resolves when they are free again. */
function fill(passwords: BcryptPasswords): Promise<unknown> {
  return Promise.all(
    Array.from(
      { length: MAX_PASSWORD_JOBS },
      (_, i) => passwords.verify(`wrong ${i}`, GO_HASH),
    ),
  );
}
