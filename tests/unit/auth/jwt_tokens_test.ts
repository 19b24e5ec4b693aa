import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import {
  JwtTokens,
  MAX_VERIFIED_TOKENS,
} from "../../../src/auth/jwt_tokens.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import {
  forgeJwt,
  JwtKeys,
  type KeyForm,
  type KeyName,
  openTestTokens,
} from "../../support/jwt_keys.ts";

/** Made by etcd 3.7.1 for root at auth revision 3; they hold until 2038. */
const FROM_ETCD = {
  ES256:
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIxNTUyNTU5MDAsInJldmlzaW9uIjozLCJ1c2VybmFtZSI6InJvb3QifQ.fPUlila9_2jn7kPuMzsFwt21NOHbHxPm6r8tXBm0c5kNRl6tE2sUJW7DsqVEL9VyFOm2eTLLdc11EVsx1YZr6g",
  EdDSA:
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJleHAiOjIxNTUyNTU5MDIsInJldmlzaW9uIjozLCJ1c2VybmFtZSI6InJvb3QifQ.BHmAxJAVa77tIZGCObqrh4_ERbwYzZHNXZoSJL983AeiEuZzDwXvHVYIJKzJr9NbNrCEYUk1RKlO-cZLbWEdAQ",
  HS256:
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIxNTUyNTU5MTAsInJldmlzaW9uIjozLCJ1c2VybmFtZSI6InJvb3QifQ.sviepg83E1zE6MnkfvzH31n5T02I49nJ_HORNifqVEI",
};
const ETCD_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUHhZbdgF6xvxvWlBaZ3c6JJUUBoswCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDand0MB4XDTI2MTEyMTEwMTEzN1oXDTM2MTExODEwMTEzN1ow
DjEMMAoGA1UEAwwDand0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEN/FZlzUW
1pFRyJJkbb5drbkLf1gCpqySpuKL6zwOynvRqwA/r0kWMJTRIIC/HgIEa7rscjUp
a+Qchqjjgm8K9KNTMFEwHQYDVR0OBBYEFPrslqHQOGeT3BKJpzppr5gOIIvWMB8G
A1UdIwQYMBaAFPrslqHQOGeT3BKJpzppr5gOIIvWMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIgduh2EMYl9/+1BiEB4Y/LPSMUdto4f4yIAWv4bU65
9yoCIQD+UbtkcsnKchnS4SgcwyxoCDPwbqJwqdHgVg9S3PTpDQ==
-----END CERTIFICATE-----
`;
const ETCD_ED25519_KEY = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEABj6wdRQPDH/8TDzo8k/Wb52wkCmXVEqEukRngostnHk=
-----END PUBLIC KEY-----
`;
const ETCD_SECRET = "a secret of 32 bytes, or so it is";

Deno.test("JwtTokens verifies what it made, with every method and form of key", async (t) => {
  using keys = new JwtKeys();
  const cases: [string, KeyName, KeyForm, KeyForm][] = [
    ["RS256", "rsa", "pkcs1", "spki"],
    ["RS384", "rsa", "pkcs8", "pkcs1"],
    ["RS512", "rsa", "pkcs8", "spki"],
    ["PS256", "rsa", "pkcs8", "spki"],
    ["PS384", "rsa", "pkcs1", "pkcs1"],
    ["PS512", "rsa", "pkcs8", "spki"],
    ["ES256", "p256", "sec1", "spki"],
    ["ES384", "p384", "pkcs8", "spki"],
    ["ES512", "p521", "sec1", "spki"],
    ["EdDSA", "ed25519", "pkcs8", "spki"],
  ];
  for (const [method, name, privateForm, publicForm] of cases) {
    await t.step(`${method}, ${privateForm}, ${publicForm}`, async () => {
      const priv = keys.privateFile(name, privateForm);
      const pub = keys.publicFile(name, publicForm);
      const signer = await openTestTokens(
        `jwt,sign-method=${method},priv-key=${priv},pub-key=${pub}`,
      );
      const verifier = await openTestTokens(
        `jwt,sign-method=${method},pub-key=${pub}`,
      );
      const token = await signer.assign("alice", 12);
      const owner = { user: "alice", revision: 12 };
      deepEqual(await signer.verify(token), owner);
      deepEqual(await verifier.verify(token), owner);
      await rejects(verifier.assign("alice", 12), { kind: "tokenVerifyOnly" });
    });
  }
  for (const method of ["HS256", "HS384", "HS512"]) {
    await t.step(method, async () => {
      const secret = keys.file("secret", Uint8Array.of(0, 255, 10, 128));
      const tokens = await openTestTokens(
        `jwt,sign-method=${method},priv-key=${secret}`,
      );
      const token = await tokens.assign("alice", 12);
      deepEqual(await tokens.verify(token), { user: "alice", revision: 12 });
    });
  }
});

Deno.test("JwtTokens verifies what etcd made", async () => {
  using keys = new JwtKeys();
  const options = {
    ES256: `pub-key=${keys.file("crt", ETCD_CERTIFICATE)}`,
    EdDSA: `pub-key=${keys.file("ed", ETCD_ED25519_KEY)}`,
    HS256: `priv-key=${keys.file("hs", ETCD_SECRET)}`,
  };
  for (const method of ["ES256", "EdDSA", "HS256"] as const) {
    const tokens = await openTestTokens(
      `jwt,sign-method=${method},${options[method]}`,
    );
    deepEqual(await tokens.verify(FROM_ETCD[method]), {
      user: "root",
      revision: 3,
    });
  }
});

Deno.test("JwtTokens.assign() writes etcd's claims", async () => {
  using keys = new JwtKeys();
  const clock = new FakeClock();
  const tokens = await openTestTokens(
    `jwt,sign-method=ES256,priv-key=${keys.privateFile("p256")},ttl=90s`,
    clock,
  );
  const [header, claims] = (await tokens.assign("alice", 12)).split(".");
  deepEqual(JSON.parse(atob(header!)), { alg: "ES256", typ: "JWT" });
  deepEqual(JSON.parse(atob(claims!)), {
    username: "alice",
    revision: 12,
    exp: clock.wallMs() / 1000 + 90,
  });
});

Deno.test("JwtTokens.verify() refuses a public key taken for a secret, and no signature at all", async () => {
  using keys = new JwtKeys();
  const claims = { username: "root", revision: 1, exp: 4_000_000_000 };
  for (
    const [method, name] of [["RS256", "rsa"], ["ES256", "p256"], [
      "EdDSA",
      "ed25519",
    ]] as const
  ) {
    const file = keys.publicFile(name);
    const tokens = await openTestTokens(
      `jwt,sign-method=${method},pub-key=${file}`,
    );
    const pem = Deno.readTextFileSync(file);
    const der = Uint8Array.from(
      atob(pem.replaceAll(/-----.*-----|\s/g, "")),
      (c) => c.charCodeAt(0),
    );
    for (
      const forged of [
        forgeJwt({ alg: "HS256", typ: "JWT" }, claims, pem),
        forgeJwt({ alg: "HS256", typ: "JWT" }, claims, pem.trim()),
        forgeJwt({ alg: "HS256", typ: "JWT" }, claims, der),
        forgeJwt({ alg: "none", typ: "JWT" }, claims),
        forgeJwt({ alg: "None" }, claims),
        forgeJwt({ alg: method }, claims),
        forgeJwt({ alg: method }, claims, pem),
        forgeJwt({ typ: "JWT" }, claims, pem),
      ]
    ) equal(await tokens.verify(forged), undefined);
  }
});

Deno.test("JwtTokens.verify() accepts the configured method alone, the same key or not", async () => {
  using keys = new JwtKeys();
  const priv = keys.privateFile("rsa");
  const rs256 = await openTestTokens(`jwt,sign-method=RS256,priv-key=${priv}`);
  const token = await rs256.assign("alice", 1);
  for (const method of ["RS384", "RS512", "PS256"]) {
    const other = await openTestTokens(
      `jwt,sign-method=${method},priv-key=${priv}`,
    );
    equal(await other.verify(token), undefined);
  }
});

Deno.test("JwtTokens.verify() refuses another key's tokens and ones that were changed", async () => {
  using keys = new JwtKeys();
  using others = new JwtKeys();
  const tokens = await openTestTokens(
    `jwt,sign-method=ES256,priv-key=${keys.privateFile("p256")}`,
  );
  const strangers = await openTestTokens(
    `jwt,sign-method=ES256,priv-key=${others.privateFile("p256")}`,
  );
  const token = await tokens.assign("alice", 1);
  equal(await strangers.verify(token), undefined);
  const [header, , signature] = token.split(".");
  const claims = btoa(JSON.stringify({ username: "root", revision: 1 }))
    .replaceAll("=", "");
  for (
    const changed of [
      `${header}.${claims}.${signature}`,
      token.slice(0, -2),
      `${token}.`,
      token.slice(1),
      "",
      ".",
      "..",
      "a.b.c",
      "\u{1f600}.é.\0",
      "abcdefghijklmnop.12",
    ]
  ) equal(await tokens.verify(changed), undefined, changed);
});

Deno.test("JwtTokens.verify() needs a user, a revision, and times that hold", async () => {
  using keys = new JwtKeys();
  const secret = "not much of a secret";
  const clock = new FakeClock();
  const tokens = await openTestTokens(
    `jwt,sign-method=HS256,priv-key=${keys.file("secret", secret)}`,
    clock,
  );
  const now = clock.wallMs() / 1000;
  const right = { username: "alice", revision: 3, exp: now + 60 };
  const owner = (claims: Record<string, unknown>) =>
    tokens.verify(forgeJwt({ alg: "HS256" }, claims, secret));
  deepEqual(await owner(right), { user: "alice", revision: 3 });
  ok(await owner({ ...right, exp: now + 1 }));
  // As in etcd, a token may name no end.
  ok(await owner({ username: "alice", revision: 3 }));
  for (
    const wrong of [
      { revision: 3 },
      { ...right, username: 7 },
      { username: "alice" },
      { ...right, revision: "3" },
      { ...right, revision: 1.5 },
      { ...right, revision: 2 ** 53 },
      { ...right, exp: now },
      { ...right, exp: now - 1 },
      { ...right, exp: "tomorrow" },
      { ...right, nbf: now + 60 },
    ]
  ) equal(await owner(wrong), undefined, JSON.stringify(wrong));
});

Deno.test("JwtTokens.verify() checks a signature once, and the time each time", async () => {
  using keys = new JwtKeys();
  const clock = new FakeClock();
  const tokens = await openTestTokens(
    `jwt,sign-method=ES256,priv-key=${keys.privateFile("p256")},ttl=60s`,
    clock,
  );
  const token = await tokens.assign("alice", 5);
  const first = tokens.verify(token);
  ok(first instanceof Promise);
  equal(tokens.verify(token), first, "calls share one verification");
  await first;
  const owner = { user: "alice", revision: 5 };
  deepEqual(tokens.verify(token), owner);
  // Nothing takes it back.
  tokens.forgetUser("alice");
  tokens.forgetAll();
  deepEqual(tokens.verify(token), owner);
  clock.advance(59_999);
  deepEqual(tokens.verify(token), owner);
  clock.advance(1);
  equal(tokens.verify(token), undefined);
  equal(await tokens.verify(token), undefined);
});

Deno.test("JwtTokens remembers MAX_VERIFIED_TOKENS, and nothing of those that are wrong", async () => {
  const secret = new TextEncoder().encode("not much of a secret");
  const tokens = new JwtTokens({
    signMethod: "HS256",
    ttlMs: 60_000,
    verifyKey: secret,
    signKey: secret,
  }, new FakeClock());
  const first = await tokens.assign("alice", 0);
  await tokens.verify(first);
  for (let revision = 1; revision < MAX_VERIFIED_TOKENS; revision++) {
    await tokens.verify(await tokens.assign("alice", revision));
  }
  equal(tokens.size, MAX_VERIFIED_TOKENS);
  ok(!(tokens.verify(first) instanceof Promise));
  await tokens.verify(await tokens.assign("bob", 1));
  await tokens.verify("wrong");
  equal(tokens.size, MAX_VERIFIED_TOKENS);
  ok(!(tokens.verify(first) instanceof Promise));
  tokens.close();
});

Deno.test("openTokens() without a kind gives nobody a token", async () => {
  const tokens = await openTestTokens("");
  await rejects(tokens.assign("alice", 1), { kind: "authFailed" });
  equal(tokens.verify("x"), undefined);
});

Deno.test("openTokens() makes simple tokens", async () => {
  const tokens = await openTestTokens("simple");
  const token = await tokens.assign("alice", 1);
  ok(token.endsWith(".7"));
  deepEqual(tokens.verify(token), { user: "alice", revision: undefined });
  tokens.close();
});
