import { equal, rejects } from "node:assert/strict";
import { readJwtOptions } from "../../../src/auth/jwt_options.ts";
import { JwtKeys, openTestTokens } from "../../support/jwt_keys.ts";

Deno.test("openTokens() says what is wrong with auth-token", async (t) => {
  using keys = new JwtKeys();
  const rsa = keys.privateFile("rsa");
  const p256 = keys.privateFile("p256");
  const p384Public = keys.publicFile("p384");
  const p256Public = keys.publicFile("p256");
  const weak = keys.privateFile("weakRsa");
  const empty = keys.file("empty", "");
  const noPem = keys.file("no.pem", "hello");
  const missing = `${empty}.missing`;
  for (
    const [authToken, says] of [
      ["bearer", "its kind must be simple or jwt"],
      ["jwt,ttl", '"ttl" is not followed by one = and a value'],
      ["jwt,ttl=1=2", '"ttl" is not followed by one = and a value'],
      ["jwt,ttl=5m,ttl=5m", '"ttl" is given twice'],
      ["simple,ttl=5m", 'simple has no option "ttl"'],
      ["jwt", "sign-method must be one of RS256, RS384"],
      ["jwt,sign-method=none", "sign-method must be one of "],
      ["jwt,sign-method=toString", "sign-method must be one of "],
      ["jwt,sign-method=rs256", "sign-method must be one of "],
      [
        `jwt,sign-method=ES256,priv-key=${p256},leeway=5m`,
        'there is no option "leeway"',
      ],
      [
        `jwt,sign-method=ES256,priv-key=${p256},ttl=5`,
        "ttl must be a duration above 0, such as 5m",
      ],
      [
        `jwt,sign-method=ES256,priv-key=${p256},ttl=0`,
        "ttl must be a duration above 0, such as 5m",
      ],
      [
        `jwt,sign-method=ES256,priv-key=${p256},ttl=-1s`,
        "ttl must be a duration above 0, such as 5m",
      ],
      ["jwt,sign-method=ES256", "ES256 needs priv-key, pub-key or both"],
      [
        `jwt,sign-method=ES256,priv-key=${missing}`,
        `priv-key "${missing}" cannot be read: `,
      ],
      [
        `jwt,sign-method=ES256,pub-key=${missing}`,
        `pub-key "${missing}" cannot be read: `,
      ],
      [
        `jwt,sign-method=ES256,priv-key=${noPem}`,
        `priv-key "${noPem}" is no such key in PEM`,
      ],
      [
        `jwt,sign-method=ES256,pub-key=${noPem}`,
        `pub-key "${noPem}" is no such key in PEM`,
      ],
      [
        `jwt,sign-method=ES256,priv-key=${p256Public}`,
        `priv-key "${p256Public}" is no such key in PEM`,
      ],
      [
        `jwt,sign-method=ES384,priv-key=${p256}`,
        "ES384 needs a key of type secp384r1",
      ],
      [
        `jwt,sign-method=ES256,pub-key=${p384Public}`,
        "ES256 needs a key of type prime256v1",
      ],
      [
        `jwt,sign-method=ES256,priv-key=${rsa}`,
        "ES256 needs a key of type prime256v1",
      ],
      [
        `jwt,sign-method=RS256,priv-key=${p256}`,
        "RS256 needs a key of type rsa",
      ],
      [
        `jwt,sign-method=EdDSA,priv-key=${p256}`,
        "EdDSA needs a key of type ed25519",
      ],
      [
        `jwt,sign-method=PS256,priv-key=${weak}`,
        "an RSA key needs at least 2048 bits",
      ],
      [
        `jwt,sign-method=RS256,priv-key=${rsa},pub-key=${
          keys.publicFile("weakRsa")
        }`,
        "an RSA key needs at least 2048 bits",
      ],
      ["jwt,sign-method=HS256", "HS256 needs a secret in the file of priv-key"],
      [
        `jwt,sign-method=HS256,pub-key=${p256Public}`,
        "HS256 needs a secret in the file of priv-key",
      ],
      [
        `jwt,sign-method=HS256,priv-key=${empty}`,
        "HS256 needs a secret in the file of priv-key",
      ],
    ] as const
  ) {
    await t.step(authToken.replaceAll(/=\/\S*\//g, "="), async () => {
      await rejects(openTestTokens(authToken), (error: Error) => {
        const expected = `Cannot use auth-token: ${says}`;
        equal(error.message.slice(0, expected.length), expected);
        return true;
      });
    });
  }
});

Deno.test("openTokens() refuses keys that are no pair", async () => {
  using keys = new JwtKeys();
  using others = new JwtKeys();
  for (
    const [method, name] of [["ES256", "p256"], ["EdDSA", "ed25519"], [
      "RS256",
      "rsa",
    ]] as const
  ) {
    await rejects(
      openTestTokens(
        `jwt,sign-method=${method},priv-key=${keys.privateFile(name)},pub-key=${
          others.publicFile(name)
        }`,
      ),
      { message: "Cannot use auth-token: priv-key and pub-key are not a pair" },
    );
  }
});

Deno.test("readJwtOptions() gives tokens five minutes unless told otherwise", async () => {
  using keys = new JwtKeys();
  const given = [
    ["sign-method", "ES256"],
    ["priv-key", keys.privateFile("p256")],
  ] as const;
  equal((await readJwtOptions(new Map(given))).ttlMs, 300_000);
  equal(
    (await readJwtOptions(new Map([...given, ["ttl", ""]]))).ttlMs,
    300_000,
  );
  equal(
    (await readJwtOptions(new Map([...given, ["ttl", "1h30m"]]))).ttlMs,
    5_400_000,
  );
});
