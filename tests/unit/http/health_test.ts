import assert from "node:assert/strict";
import { type HealthRecorder, healthRoutes } from "../../../src/http/health.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";
import { FakeState, serveRoutes } from "../../support/http_server.ts";

class FakeRecorder implements HealthRecorder {
  readonly records: string[] = [];

  health(isHealthy: boolean): void {
    this.records.push(`health ${isHealthy}`);
  }

  check(type: string, name: string, isOk: boolean): void {
    this.records.push(`${type} ${name} ${isOk}`);
  }
}

async function makeServer() {
  const state = new FakeState();
  const clock = new FakeClock();
  const log = new CapturingLogger();
  const recorder = new FakeRecorder();
  const options = { recorder, log, clock, timeoutMs: 7000 };
  const http = await serveRoutes(healthRoutes(state, options));
  return {
    state,
    clock,
    log,
    recorder,
    ask: http.ask,
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

const failing = (why: string) => () => Promise.resolve(why);

Deno.test("/health says that all is well, as etcd words it", async () => {
  await using server = await makeServer();
  const { status, headers, body } = await server.ask("/health");
  assert.equal(status, 200);
  assert.equal(body, '{"health":"true","reason":""}');
  assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
  assert.deepEqual(server.recorder.records, ["health true"]);
  assert.deepEqual(server.log.entries, []);
});

for (
  const [what, set, reason] of [
    ["NOSPACE", (s) => s.alarmNames = ["NOSPACE"], "ALARM NOSPACE"],
    ["CORRUPT", (s) => s.alarmNames = ["CORRUPT"], "ALARM CORRUPT"],
    ["no leader", (s) => s.hasLeader = false, "RAFT NO LEADER"],
    [
      "a failing read",
      (s) => s.linearizable = failing("etcdserver: request timed out"),
      "RANGE ERROR:etcdserver: request timed out",
    ],
    [
      "a read that throws",
      (s) => s.linearizable = () => Promise.reject(new Error("boom")),
      "RANGE ERROR:boom",
    ],
  ] satisfies [string, (state: FakeState) => unknown, string][]
) {
  Deno.test(`/health is 503 for ${what}`, async () => {
    await using server = await makeServer();
    set(server.state);
    const { status, headers, body } = await server.ask("/health");
    assert.equal(status, 503);
    assert.equal(body, `{"health":"false","reason":"${reason}"}\n`);
    assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.deepEqual(server.recorder.records, ["health false"]);
    assert.deepEqual(server.log.messages("warn"), ["health check failed"]);
  });
}

Deno.test("/health leaves out the alarms that the query excludes", async () => {
  await using server = await makeServer();
  server.state.alarmNames = ["NOSPACE", "CORRUPT"];
  const one = await server.ask("/health?exclude=NOSPACE");
  assert.equal(one.body, '{"health":"false","reason":"ALARM CORRUPT"}\n');
  const both = await server.ask("/health?exclude=NOSPACE&exclude=CORRUPT");
  assert.equal(both.status, 200);
  const other = await server.ask("/health?exclude=&exclude=nospace");
  assert.equal(other.status, 503);
});

Deno.test("/health?serializable=true asks neither the leader nor others", async () => {
  await using server = await makeServer();
  server.state.hasLeader = false;
  server.state.linearizable = failing("no");
  assert.equal((await server.ask("/health?serializable=true")).status, 200);
  assert.equal((await server.ask("/health?serializable=1")).status, 503);
  server.state.serializable = failing("local");
  const { body } = await server.ask("/health?serializable=true");
  assert.equal(body, '{"health":"false","reason":"RANGE ERROR:local"}\n');
});

Deno.test("/health is 503 when the read takes too long", async () => {
  await using server = await makeServer();
  const asked = Promise.withResolvers<void>();
  server.state.linearizable = () => {
    asked.resolve();
    return new Promise(() => {});
  };
  const answer = server.ask("/health");
  await asked.promise;
  server.clock.advance(7000);
  assert.equal(
    (await answer).body,
    '{"health":"false","reason":"RANGE ERROR:context deadline exceeded"}\n',
  );
});

Deno.test("/health logs a lasting failure once per period", async () => {
  await using server = await makeServer();
  server.state.hasLeader = false;
  for (let i = 0; i < 3; i++) await server.ask("/health");
  assert.equal(server.log.entries.length, 1);
  server.clock.advance(10_000);
  await server.ask("/health");
  assert.equal(server.log.entries.at(-1)!.fields.suppressed, 2);
});

for (
  const path of [
    "/health",
    "/livez",
    "/readyz",
    "/livez/serializable_read",
    "/readyz/data_corruption",
    "/readyz/serializable_read",
    "/readyz/linearizable_read",
    "/readyz/non_learner",
  ]
) {
  Deno.test(`${path} takes no method but GET`, async () => {
    await using server = await makeServer();
    for (const method of ["POST", "PUT", "DELETE", "HEAD"]) {
      const { status, headers, body } = await server.ask(path, { method });
      assert.equal(status, 405);
      assert.equal(headers.get("allow"), "GET");
      assert.equal(body, method === "HEAD" ? "" : "Method Not Allowed\n");
    }
    assert.deepEqual(server.recorder.records, []);
    const { status, headers, body } = await server.ask(path);
    assert.equal(status, 200);
    if (path === "/health") return;
    assert.equal(body, "ok\n");
    assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  });
}

Deno.test("/readyz?verbose tells of each check", async () => {
  await using server = await makeServer();
  const expected = "[+]data_corruption ok\n[+]serializable_read ok\n" +
    "[+]linearizable_read ok\n[+]non_learner ok\nok\n";
  assert.equal((await server.ask("/readyz?verbose")).body, expected);
  assert.equal((await server.ask("/readyz?verbose=0")).body, expected);
  assert.deepEqual(server.recorder.records.slice(0, 4), [
    "readyz data_corruption true",
    "readyz serializable_read true",
    "readyz linearizable_read true",
    "readyz non_learner true",
  ]);
});

Deno.test("/livez?verbose tells of its one check", async () => {
  await using server = await makeServer();
  const { body } = await server.ask("/livez?verbose");
  assert.equal(body, "[+]serializable_read ok\nok\n");
});

Deno.test("/readyz is 503 for corruption, and says so without being asked", async () => {
  await using server = await makeServer();
  server.state.alarmNames = ["CORRUPT"];
  const { status, headers, body } = await server.ask("/readyz");
  assert.equal(status, 503);
  assert.equal(
    body,
    "[-]data_corruption failed: alarm activated: CORRUPT\n" +
      "[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n\n",
  );
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(server.recorder.records[0], "readyz data_corruption false");
  assert.deepEqual(server.log.messages("error"), ["health check failed"]);
});

Deno.test("/readyz does not mind NOSPACE", async () => {
  await using server = await makeServer();
  server.state.alarmNames = ["NOSPACE"];
  assert.equal((await server.ask("/readyz")).status, 200);
});

Deno.test("/readyz is 503 when a linearizable read fails, /livez is not", async () => {
  await using server = await makeServer();
  server.state.linearizable = failing("etcdserver: no leader");
  const { status, body } = await server.ask("/readyz/linearizable_read");
  assert.equal(status, 503);
  assert.equal(
    body,
    "[-]linearizable_read failed: etcdserver: no leader\n\n",
  );
  assert.equal((await server.ask("/readyz")).status, 503);
  assert.equal((await server.ask("/livez")).status, 200);
  assert.equal((await server.ask("/readyz/serializable_read")).status, 200);
});

Deno.test("/livez is 503 when a local read fails", async () => {
  await using server = await makeServer();
  server.state.serializable = failing("broken");
  const { status, body } = await server.ask("/livez");
  assert.equal(status, 503);
  assert.equal(body, "[-]serializable_read failed: broken\n\n");
});

Deno.test("/readyz leaves out the checks that the query excludes", async () => {
  await using server = await makeServer();
  server.state.linearizable = failing("no");
  server.state.alarmNames = ["CORRUPT"];
  const query =
    "exclude=linearizable_read&exclude=data_corruption&exclude=nope";
  const { status, body } = await server.ask(`/readyz?verbose&${query}`);
  assert.equal(status, 200);
  assert.equal(body, "[+]serializable_read ok\n[+]non_learner ok\nok\n");
});

Deno.test("/readyz has no route for a check that it does not have", async () => {
  await using server = await makeServer();
  const { status, body } = await server.ask("/readyz/nope");
  assert.equal(status, 404);
  assert.equal(body, "404 page not found\n");
  assert.equal((await server.ask("/livez/non_learner")).status, 404);
});
