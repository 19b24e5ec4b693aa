import assert from "node:assert/strict";
import {
  defaultConfig,
  minLeaseTtlSeconds,
  requestTimeoutMs,
} from "../../../src/config/config.ts";

Deno.test("defaultConfig() lets the endpoint follow name and data directory", () => {
  assert.equal(defaultConfig({ name: "a" }).endpoint, "sqlite://a.etcd");
  assert.equal(defaultConfig({ dataDir: "/d" }).endpoint, "sqlite:///d");
  const config = defaultConfig({ dataDir: "/d", endpoint: "memory://" });
  assert.equal(config.endpoint, "memory://");
  assert.equal(config.dataDir, "/d");
});

Deno.test("requestTimeoutMs() is 7 s by default, as in etcd", () => {
  assert.equal(requestTimeoutMs(defaultConfig()), 7000);
  assert.equal(
    requestTimeoutMs(defaultConfig({ electionTimeoutMs: 500 })),
    6000,
  );
});

Deno.test("minLeaseTtlSeconds() is 2 s by default, as in etcd", () => {
  assert.equal(minLeaseTtlSeconds(defaultConfig()), 2);
  const slow = { electionTimeoutMs: 50_000, heartbeatIntervalMs: 100 };
  assert.equal(minLeaseTtlSeconds(defaultConfig(slow)), 75);
  const odd = { electionTimeoutMs: 1000, heartbeatIntervalMs: 200 };
  assert.equal(minLeaseTtlSeconds(defaultConfig(odd)), 2);
});
