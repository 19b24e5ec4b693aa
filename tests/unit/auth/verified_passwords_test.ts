import { equal, notEqual, ok } from "node:assert/strict";
import {
  MAX_VERIFIED_PASSWORDS,
  VERIFIED_PASSWORD_MS,
  VerifiedPasswords,
} from "../../../src/auth/verified_passwords.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const HASH = "$2b$10$" + "a".repeat(53);
const OTHER = "$2b$10$" + "b".repeat(53);

Deno.test("VerifiedPasswords.pairOf() differs by password, by hash and by process", () => {
  const verified = new VerifiedPasswords(new FakeClock());
  const pair = verified.pairOf("secret", HASH);
  equal(verified.pairOf("secret", HASH), pair);
  notEqual(verified.pairOf("secret2", HASH), pair);
  notEqual(verified.pairOf("secret", OTHER), pair);
  notEqual(new VerifiedPasswords(new FakeClock()).pairOf("secret", HASH), pair);
});

Deno.test("VerifiedPasswords.has() counts the time from when the pair was verified", () => {
  const clock = new FakeClock();
  const verified = new VerifiedPasswords(clock);
  const pair = verified.pairOf("secret", HASH);
  equal(verified.has(pair), false);
  verified.add(pair);
  clock.advance(VERIFIED_PASSWORD_MS - 1);
  ok(verified.has(pair));
  clock.advance(1);
  equal(verified.has(pair), false);
  equal(verified.size, 0);
});

Deno.test("VerifiedPasswords keeps MAX_VERIFIED_PASSWORDS, and lets the least recently used go", () => {
  const verified = new VerifiedPasswords(new FakeClock());
  for (let i = 0; i < MAX_VERIFIED_PASSWORDS; i++) verified.add(String(i));
  ok(verified.has("0"));
  verified.add("one more");
  equal(verified.size, MAX_VERIFIED_PASSWORDS);
  ok(verified.has("0"));
  equal(verified.has("1"), false);
  verified.add("0");
  equal(verified.size, MAX_VERIFIED_PASSWORDS);
});
