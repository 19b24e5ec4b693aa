import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { NO_LOG } from "../../../src/base/log.ts";
import { httpHandler, type Route, send } from "../../../src/http/router.ts";
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

Deno.test("httpHandler() sends clients on to the clean form of a path, as Go's ServeMux", async () => {
  await using server = await serveRoutes([ECHO]);
  const redirect = "manual" as const;
  for (
    const [path, location] of [
      ["//echo", "/echo"],
      ["/echo//?a=%41&b", "/echo/?a=%41&b"],
      ['/%65cho//%C3%A9"', "/echo/%C3%A9%22"],
    ] as const
  ) {
    const found = await server.ask(path, { redirect });
    assert.equal(found.status, 307, path);
    assert.equal(found.headers.get("location"), location);
    assert.equal(
      found.body,
      `<a href="${location.replace("&", "&amp;")}">Temporary Redirect</a>.\n\n`,
    );
    const post = await server.ask(path, {
      redirect,
      method: "POST",
      body: "x",
    });
    assert.equal(post.status, 307, path);
    assert.equal(post.headers.get("location"), location);
    assert.equal(post.headers.get("content-type"), null);
    assert.equal(post.body, "");
  }
  assert.equal((await server.ask("/v3", { redirect })).status, 404);
  assert.equal((await server.ask("/%65cho")).body, "GET /echo ");
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

Deno.test("httpHandler() answers a redirect whatever bytes the target has", () => {
  const handle = httpHandler([], { log: NO_LOG });
  const bytes = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i));
  const request = new IncomingMessage(new Socket());
  request.method = "GET";
  request.url = `//a?${bytes.join("")}`; // over HTTP/2 there may be such
  const response = new ServerResponse(request);
  handle(request, response);
  assert.equal(response.statusCode, 307);
  const location = String(response.getHeader("location"));
  assert.match(location, /^\/a\?%00%01[\x21-\x7e]+%FF$/);
  request.url = "*";
  const other = new ServerResponse(request);
  handle(request, other);
  assert.equal(other.statusCode, 404);
});

Deno.test("httpHandler() shows a redirect's target as text and not as HTML", async () => {
  await using server = await serveRoutes([ECHO]);
  const connection = await Deno.connect({ port: server.port });
  const request =
    `GET //a?<&>'" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  const answer = await new Response(connection.readable).text();
  assert.match(answer, /\r\nLocation: \/a\?<&>'"\r\n/);
  assert.ok(
    answer.endsWith(
      '<a href="/a?&lt;&amp;&gt;&#39;&#34;">Temporary Redirect</a>.\n\n',
    ),
    answer,
  );
});
