import assert from "node:assert/strict";
import { Registry } from "../../../src/base/metrics.ts";
import { EtcdMetrics } from "../../../src/http/etcd_metrics.ts";
import { clientRoutes, metricsRoutes } from "../../../src/http/routes.ts";
import { parseExposition, sampleValue } from "../../support/exposition.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { CapturingLogger } from "../../support/log.ts";
import { FakeState, serveRoutes } from "../../support/http_server.ts";

async function makeServer(which: typeof clientRoutes) {
  const state = new FakeState();
  const registry = new Registry();
  const recorder = new EtcdMetrics(registry, {
    etcdVersion: "3.7.1",
    clusterVersion: "3.7.0",
    steleVersion: "0.1.0",
    memberId: 1n,
    featureGates: {},
  });
  const http = await serveRoutes(which(state, {
    registry,
    recorder,
    log: new CapturingLogger(),
    clock: new FakeClock(),
    timeoutMs: 1000,
    versions: { etcdserver: "3.7.1", etcdcluster: "3.7.0", storage: "3.7.0" },
    steleVersion: "0.1.0",
  }));
  return {
    state,
    ask: http.ask,
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

Deno.test("/version is etcd's, to the byte", async () => {
  await using server = await makeServer(clientRoutes);
  const { status, headers, body } = await server.ask("/version");
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(
    body,
    '{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}',
  );
  const post = await server.ask("/version", { method: "POST" });
  assert.equal(post.status, 405);
});

Deno.test("/metrics shows what health checks found", async () => {
  await using server = await makeServer(clientRoutes);
  await server.ask("/health");
  await server.ask("/readyz/non_learner");
  server.state.hasLeader = false;
  await server.ask("/health");
  const { status, headers, body } = await server.ask("/metrics");
  assert.equal(status, 200);
  assert.equal(
    headers.get("content-type"),
    "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
  );
  assert.equal(sampleValue(body, "etcd_server_health_success"), 1);
  assert.equal(sampleValue(body, "etcd_server_health_failures"), 1);
  const check = { type: "readyz", name: "non_learner" };
  assert.equal(sampleValue(body, "etcd_server_healthcheck", check), 1);
  assert.equal(
    sampleValue(body, "etcd_server_healthchecks_total", {
      ...check,
      status: "success",
    }),
    1,
  );
});

Deno.test("/metrics answers any method, as etcd's", async () => {
  await using server = await makeServer(clientRoutes);
  const post = await server.ask("/metrics", { method: "POST" });
  assert.ok(parseExposition(post.body).size > 30);
  const head = await server.ask("/metrics", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.body, "");
});

Deno.test("/debug/vars is JSON with memory and state, and no command line", async () => {
  await using server = await makeServer(clientRoutes);
  const { headers, body } = await server.ask("/debug/vars");
  assert.equal(
    headers.get("content-type"),
    "application/json; charset=utf-8",
  );
  const vars = JSON.parse(body);
  assert.ok(vars.memstats.HeapAlloc > 0);
  assert.equal(vars.stele.revision, 1234567);
  assert.equal(vars.cmdline, undefined);
});

Deno.test("/ shows the state of the server", async () => {
  await using server = await makeServer(clientRoutes);
  const { status, headers, body } = await server.ask("/");
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "text/html; charset=utf-8");
  assert.match(headers.get("content-security-policy")!, /default-src 'none'/);
  for (
    const shown of [
      "Serving",
      "1,234,567",
      "1.5 KiB",
      "512 B",
      "2.0 GiB",
      "5 on 2 streams",
      "1d 2h",
      "<title>default – Stele</title>",
    ]
  ) {
    assert.ok(body.includes(shown), shown);
  }
  assert.doesNotMatch(body, /<script|<link|<img|https?:\/\/(?!127)/);
});

Deno.test("/ shows alarms and the lack of a leader", async () => {
  await using server = await makeServer(clientRoutes);
  server.state.hasLeader = false;
  assert.match((await server.ask("/")).body, /No leader/);
  server.state.alarmNames = ["NOSPACE", "CORRUPT"];
  assert.match((await server.ask("/")).body, /Alarm: NOSPACE, CORRUPT/);
});

Deno.test("/ escapes what is not its own", async () => {
  await using server = await makeServer(clientRoutes);
  server.state.summaryOverrides = {
    name: `<script>"&'`,
    quotaBytes: Infinity,
    uptimeMs: 500,
    compactRevision: 7,
  };
  const { body } = await server.ask("/");
  assert.ok(!body.includes("<script>"));
  assert.ok(body.includes("&lt;script&gt;&quot;&amp;&#39;"));
  assert.match(body, /<td>none<\/td>/);
  assert.match(body, /<td>0s<\/td>/);
});

Deno.test("metricsRoutes() serve metrics and health, and nothing else", async () => {
  await using server = await makeServer(metricsRoutes);
  for (const path of ["/metrics", "/health", "/livez", "/readyz"]) {
    assert.equal((await server.ask(path)).status, 200, path);
  }
  for (const path of ["/", "/version", "/debug/vars"]) {
    assert.equal((await server.ask(path)).status, 404, path);
  }
});
