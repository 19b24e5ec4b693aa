import assert from "node:assert/strict";
import { addressUrl, hostPort } from "../../../src/transport/address.ts";

Deno.test("addressUrl() tells plain from secure, and puts IPv6 into brackets", () => {
  const v4 = { kind: "tcp", host: "127.0.0.1", port: 2379 } as const;
  const v6 = { kind: "tcp", host: "::1", port: 2379 } as const;
  const unix = { kind: "unix", path: "/run/s.sock" } as const;
  assert.equal(addressUrl(v4), "http://127.0.0.1:2379");
  assert.equal(addressUrl(v6, true), "https://[::1]:2379");
  assert.equal(addressUrl(unix), "unix:///run/s.sock");
  assert.equal(addressUrl(unix, true), "unixs:///run/s.sock");
  assert.equal(new URL(addressUrl(v6)).port, "2379");
});

Deno.test("hostPort() of a name and of an IPv6 address", () => {
  assert.equal(hostPort("localhost", 1), "localhost:1");
  assert.equal(hostPort("fe80::1%eth0", 1), "[fe80::1%eth0]:1");
});
