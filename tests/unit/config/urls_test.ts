import assert from "node:assert/strict";
import { ConfigError } from "../../../src/config/config_error.ts";
import {
  checkAdvertisedUrl,
  checkBindUrl,
  parseUrl,
  parseUrls,
} from "../../../src/config/urls.ts";

Deno.test("parseUrl() reads hosts, ports and sockets", () => {
  const tcp = { kind: "tcp", isSecure: false };
  assert.deepEqual(parseUrl("http://127.0.0.1:2379"), {
    ...tcp,
    host: "127.0.0.1",
    port: 2379,
  });
  assert.deepEqual(parseUrl("https://[::1]:0"), {
    kind: "tcp",
    isSecure: true,
    host: "::1",
    port: 0,
  });
  assert.deepEqual(parseUrl("http://:65535"), {
    ...tcp,
    host: "",
    port: 65535,
  });
  const unix = { kind: "unix", isSecure: false };
  assert.deepEqual(parseUrl("unix:///run/a.sock"), {
    ...unix,
    path: "/run/a.sock",
  });
  assert.deepEqual(parseUrl("unix:/run/a.sock"), {
    ...unix,
    path: "/run/a.sock",
  });
  assert.deepEqual(parseUrl("unix://localhost:m1"), {
    ...unix,
    path: "localhost:m1",
  });
  assert.deepEqual(parseUrl("unixs://a.sock"), {
    kind: "unix",
    isSecure: true,
    path: "a.sock",
  });
});

const BAD: readonly (readonly [string, RegExp])[] = [
  ["", /scheme must be/],
  ["127.0.0.1:2379", /scheme must be/],
  ["ftp://127.0.0.1:21", /scheme must be/],
  ["http://127.0.0.1", /must have the form http:\/\/host:port/],
  ["http://127.0.0.1:", /must have the form/],
  ["http://127.0.0.1:http", /must have the form/],
  ["http://::1:2379", /must have the form/],
  ["http://user@127.0.0.1:2379", /must have the form/],
  ["http://127.0.0.1:2379/", /must not have a path/],
  ["http://127.0.0.1:2379/a", /must not have a path/],
  ["http://127.0.0.1:65536", /no port beyond 65535/],
  ["unix://", /must have the form/],
];

for (const [url, message] of BAD) {
  Deno.test(`parseUrl() refuses "${url}"`, () => {
    assert.throws(() => parseUrl(url), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("parseUrls() trims, sorts and keeps each URL once", () => {
  assert.deepEqual(parseUrls("http://b:1, http://a:1,http://b:1"), [
    "http://a:1",
    "http://b:1",
  ]);
  assert.deepEqual(parseUrls(""), []);
  assert.throws(() => parseUrls("http://a:1,"), ConfigError);
});

Deno.test("checkBindUrl() takes addresses and localhost, but no other names", () => {
  checkBindUrl("http://0.0.0.0:1");
  checkBindUrl("http://[::]:1");
  checkBindUrl("http://localhost:1");
  checkBindUrl("unix:///a");
  for (const url of ["http://example.com:1", "http://:1", "http://1.2.3:1"]) {
    assert.throws(() => checkBindUrl(url), /must be an IP address/);
  }
});

Deno.test("checkAdvertisedUrl() needs a host", () => {
  checkAdvertisedUrl("http://example.com:1");
  checkAdvertisedUrl("unix:///a");
  assert.throws(() => checkAdvertisedUrl("http://:1"), /names no host/);
});
