import assert from "node:assert/strict";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { AccessControl } from "../../../src/http/access_control.ts";
import { httpHandler, send } from "../../../src/http/router.ts";
import { CapturingLogger } from "../../support/log.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** What a server with these lists answers; `fetch` would not let the test choose the Host. */
async function ask(
  lists: { cors?: string[]; hostWhitelist?: string[] },
  headers: Record<string, string>,
  method = "GET",
): Promise<Answer> {
  const log = new CapturingLogger();
  const control = new AccessControl({
    cors: lists.cors ?? ["*"],
    hostWhitelist: lists.hostWhitelist ?? ["*"],
    log,
  });
  const route = {
    path: "/",
    handle: (_q: unknown, response: Parameters<typeof send>[0]) =>
      send(response, 200, "text/plain", "in"),
  };
  const server = createServer(control.guard(httpHandler([route], { log })));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  try {
    return await new Promise<Answer>((resolve, reject) => {
      get({ port, host: "127.0.0.1", headers, method }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => body += text);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body,
          }));
      }).on("error", reject);
    });
  } finally {
    await new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
  }
}

const ALLOWED = "access-control-allow-origin";

Deno.test("AccessControl lets any origin in by default", async () => {
  const { status, headers } = await ask({}, {});
  assert.equal(status, 200);
  assert.equal(headers[ALLOWED], "*");
  assert.equal(
    headers["access-control-allow-methods"],
    "POST, GET, OPTIONS, PUT, DELETE",
  );
  assert.equal(
    headers["access-control-allow-headers"],
    "accept, content-type, authorization",
  );
  assert.equal((await ask({ cors: [] }, {})).headers[ALLOWED], "*");
});

Deno.test("AccessControl tells only the origins that are listed", async () => {
  const cors = ["http://a:80", "http://b"];
  const origin = async (origin: string) =>
    (await ask({ cors }, { origin })).headers[ALLOWED];
  assert.equal(await origin("http://a:80"), "http://a:80");
  assert.equal(await origin("http://b"), "http://b");
  assert.equal(await origin("http://c"), undefined);
  const without = await ask({ cors }, {});
  assert.equal(without.status, 200);
  assert.equal(without.headers[ALLOWED], undefined);
});

Deno.test("AccessControl answers OPTIONS itself", async () => {
  const { status, headers, body } = await ask({}, {}, "OPTIONS");
  assert.equal(status, 200);
  assert.equal(headers[ALLOWED], "*");
  assert.equal(body, "");
});

Deno.test("AccessControl refuses names that are not on the list, in etcd's words", async () => {
  const hostWhitelist = ["good", "127.0.0.1", "::1"];
  const host = (host: string) => ask({ hostWhitelist }, { host });
  for (const name of ["good", "good:2379", "127.0.0.1:1", "[::1]:1"]) {
    assert.equal((await host(name)).status, 200, name);
  }
  for (const name of ["evil", "good.evil:1", "[::2]:1", "[::1]"]) {
    assert.equal((await host(name)).status, 421, name);
  }
  const { headers, body } = await host("evil");
  assert.equal(headers[ALLOWED], undefined);
  assert.match(
    body,
    /^\netcd received your request, but the Host header was unrecognized\./,
  );
  assert.match(body, /--host-whitelist "evil"\n/);
  assert.equal((await ask({ hostWhitelist: [] }, { host: "x" })).status, 200);
});
