import assert from "node:assert/strict";
import { SharedTokens } from "../../../src/auth/shared_tokens.ts";
import { openTokens } from "../../../src/auth/token_provider.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const SECRET = new Uint8Array(32).fill(9);
const TTL_MS = 300_000;

/** The users of a database, and its servers, each with a clock of its own. */
class World {
  readonly credentials = new Map([["alice", "hash 1"], ["bob", "hash 2"]]);
  revision = 7;

  server({ clock = new FakeClock(), secret = SECRET } = {}) {
    let seq = 41;
    const tokens = new SharedTokens({
      secret,
      clock,
      ttlSeconds: TTL_MS / 1000,
      seq: () => ++seq,
      authRevision: () => this.revision,
      credentialOf: (user) => {
        const hash = this.credentials.get(user);
        return hash === undefined ? undefined : utf8(hash);
      },
    });
    return { tokens, clock };
  }

  /** A token that one server makes for alice, and another server. */
  async issue() {
    const first = this.server();
    const token = await first.tokens.assign("alice", this.revision);
    return { token, first, ...this.server() };
  }
}

Deno.test("SharedTokens of one server are valid at another", async () => {
  const { token, first, tokens } = await new World().issue();
  assert.match(token, /^[\w-]{22,}\.42$/);
  const alice = { user: "alice", revision: undefined };
  assert.deepEqual(tokens.verify(token), alice);
  assert.deepEqual(tokens.verify(token), alice);
  assert.deepEqual(first.tokens.verify(token), alice);
});

Deno.test("SharedTokens carry any user's name", async () => {
  const world = new World();
  for (const user of ["é ☃", "a b.c", "\n", "x".repeat(1000)]) {
    world.credentials.set(user, "");
    const token = await world.server().tokens.assign(user, 1);
    assert.equal(world.server().tokens.verify(token)?.user, user);
  }
});

Deno.test("SharedTokens refuse what is changed anywhere, and what is none", async () => {
  const { token, tokens } = await new World().issue();
  for (let i = 0; i < token.length; i++) {
    const other = token[i] === "A" ? "B" : "A";
    const forged = token.slice(0, i) + other + token.slice(i + 1);
    assert.equal(tokens.verify(forged), undefined, `character ${i}`);
  }
  for (const none of ["", ".", "a.1", `${token}1`, "A".repeat(9000) + ".1"]) {
    assert.equal(tokens.verify(none), undefined);
  }
  assert.equal(tokens.verify(token)?.user, "alice");
});

Deno.test("SharedTokens of another database are refused", async () => {
  const world = new World();
  const { token } = await world.issue();
  const { tokens } = world.server({ secret: new Uint8Array(32) });
  assert.equal(tokens.verify(token), undefined);
});

Deno.test("SharedTokens are taken the first time within their TTL only, and then for as long as they are used", async () => {
  const world = new World();
  const { token, tokens, clock } = await world.issue();
  clock.advance(TTL_MS);
  assert.ok(tokens.verify(token));
  for (let i = 0; i < 5; i++) {
    clock.advance(TTL_MS - 1000);
    assert.ok(tokens.verify(token), `use ${i}`);
  }
  clock.advance(TTL_MS + 3000);
  assert.equal(tokens.verify(token), undefined);
  const late = world.server();
  late.clock.advance(TTL_MS + 1);
  assert.equal(late.tokens.verify(token), undefined);
});

Deno.test("SharedTokens bear with clocks that differ by the TTL", async () => {
  const world = new World();
  const { token } = await world.issue();
  for (
    const [ms, isTaken] of [[-TTL_MS, true], [-TTL_MS - 1, false]] as const
  ) {
    const { tokens, clock } = world.server();
    clock.jumpWall(ms);
    assert.equal(tokens.verify(token) !== undefined, isTaken, `${ms} ms`);
  }
});

Deno.test("SharedTokens end with the user's password, at servers that start later too", async () => {
  const world = new World();
  const { token, tokens } = await world.issue();
  assert.ok(tokens.verify(token));
  world.credentials.set("alice", "hash 3");
  tokens.forgetUser("alice");
  assert.equal(tokens.verify(token), undefined);
  assert.equal(world.server().tokens.verify(token), undefined);
  const again = await tokens.assign("alice", 8);
  assert.ok(world.server().tokens.verify(again));
});

Deno.test("SharedTokens end with the user", async () => {
  const world = new World();
  const { token, tokens } = await world.issue();
  world.credentials.delete("alice");
  tokens.forgetUser("alice");
  assert.equal(tokens.verify(token), undefined);
  world.credentials.set("alice", "hash 4");
  assert.equal(tokens.verify(token), undefined);
});

Deno.test("SharedTokens.forgetUser() leaves other users' tokens alone", async () => {
  const { token, tokens } = await new World().issue();
  tokens.forgetUser("bob");
  assert.ok(tokens.verify(token));
});

Deno.test("SharedTokens from before auth was disabled do not come back", async () => {
  const world = new World();
  const { token, tokens } = await world.issue();
  assert.ok(tokens.verify(token));
  tokens.forgetAll();
  world.revision++;
  assert.equal(tokens.verify(token), undefined);
  const { tokens: other } = world.server();
  const fresh = await other.assign("alice", world.revision);
  assert.ok(tokens.verify(fresh));
});

Deno.test("openTokens() makes shared tokens where there is an agreement", async () => {
  const options = {
    authToken: "simple",
    ttlSeconds: 300,
    clock: new FakeClock(),
    seq: () => 1,
  };
  const shared = {
    secret: SECRET,
    credentialOf: () => utf8("hash"),
    authRevision: () => 1,
  };
  const tokens = await openTokens({ ...options, shared });
  assert.ok(tokens instanceof SharedTokens);
  tokens.close();
  assert.ok(!(await openTokens(options) instanceof SharedTokens));
});
