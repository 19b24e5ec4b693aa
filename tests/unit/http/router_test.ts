import assert from "node:assert/strict";
import { type Route, send } from "../../../src/http/router.ts";
import { serveRoutes } from "../../support/http_server.ts";

const ECHO: Route = {
  path: "/echo",
  handle: ({ method, path, query }, response) =>
    send(response, 200, "text/plain", `${method} ${path} ${query}`),
};

const FAILS: Route = {
  path: "/fails",
  handle: () => Promise.reject(new Error("secret detail")),
};

Deno.test("httpHandler() finds the route of the path, whatever the query", async () => {
  await using server = await serveRoutes([ECHO]);
  assert.equal((await server.ask("/echo")).body, "GET /echo ");
  assert.equal((await server.ask("/echo?a=1&b")).body, "GET /echo a=1&b=");
  const post = await server.ask("/echo", { method: "POST", body: "ignored" });
  assert.equal(post.body, "POST /echo ");
});

Deno.test("httpHandler() answers 404 for paths without a route", async () => {
  await using server = await serveRoutes([ECHO]);
  for (const path of ["/", "/echo/", "/Echo", "/echo/x", "/__proto__"]) {
    const { status, headers, body } = await server.ask(path);
    assert.equal(status, 404, path);
    assert.equal(body, "404 page not found\n");
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  }
});

Deno.test("httpHandler() answers 500 for an unexpected error and keeps its text to the log", async () => {
  await using server = await serveRoutes([FAILS]);
  const { status, body } = await server.ask("/fails");
  assert.equal(status, 500);
  assert.equal(body, "Internal Server Error\n");
  const [entry] = server.log.entries;
  assert.equal(entry!.level, "error");
  assert.equal((entry!.fields.error as Error).message, "secret detail");
});

Deno.test("httpHandler() takes a body up to its bound and cuts off a longer one", async () => {
  await using server = await serveRoutes([ECHO]);
  const body = new Uint8Array(64 << 10);
  const init = { method: "POST", body };
  assert.equal((await server.ask("/echo", init)).status, 200);

  // The route answers at once; what is at stake is that the connection does not go on taking bytes.
  const connection = await Deno.connect({ port: server.port });
  try {
    const head = "POST /echo HTTP/1.1\r\nHost: a\r\n" +
      "Content-Length: 1000000000\r\n\r\n";
    await connection.write(new TextEncoder().encode(head));
    const chunk = new Uint8Array(64 << 10);
    let written = 0;
    const isCutOff = await (async () => {
      while (written < 100 << 20) {
        try {
          written += await connection.write(chunk);
        } catch {
          return true;
        }
      }
      return false;
    })();
    assert.ok(isCutOff, `took ${written} bytes`);
  } finally {
    connection.close();
  }
});

Deno.test("HTTP_SERVER_OPTIONS bound the size of a request's headers", async () => {
  await using server = await serveRoutes([ECHO]);
  const small = await server.ask("/echo", { headers: { a: "x".repeat(8000) } });
  assert.equal(small.status, 200);
  const big = await server.ask("/echo", { headers: { a: "x".repeat(20_000) } });
  assert.equal(big.status, 431);
});
