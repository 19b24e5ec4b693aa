import assert from "node:assert/strict";
import { Scram } from "../../../../../../src/backend/driver/postgres/wire/scram.ts";

// RFC 7677, section 3, with the empty user name that PostgreSQL's clients send.
const NONCE = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST =
  `r=${NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`;

Deno.test("Scram answers as PostgreSQL does", async () => {
  const scram = new Scram("pencil", NONCE);
  assert.equal(scram.clientFirst(), `n,,n=,r=${NONCE}`);
  const final = await scram.clientFinal(SERVER_FIRST);
  assert.match(
    final,
    /^c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj\)hNlF\$k0,p=[\w+/]{43}=$/,
  );
  assert.throws(() => scram.verify("v=AAAA"), { code: "28000" });
  assert.throws(() => scram.verify("e=other-error"), { code: "28000" });
});

for (
  const challenge of [
    "",
    "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    `r=${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${NONCE}x,i=4096`,
    `r=${NONCE}x,s=W22Z,i=0`,
    `r=${NONCE}x,s=W22Z,i=10000001`,
    `r=${NONCE}x,s=W22Z,i=many`,
  ]
) {
  Deno.test(`Scram refuses the challenge "${challenge}"`, async () => {
    const scram = new Scram("pencil", NONCE);
    await assert.rejects(scram.clientFinal(challenge), { code: "28000" });
  });
}
