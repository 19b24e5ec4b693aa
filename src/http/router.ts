import type {
  IncomingMessage,
  RequestListener,
  ServerOptions,
  ServerResponse,
} from "node:http";
import type { Logger } from "../base/log.ts";
import { cleanPath, readTarget, type RequestTarget } from "./request_target.ts";

/** One path and who answers it. */
export interface Route {
  /** The whole path, without the query. */
  readonly path: string;
  /** The methods that are answered; all others get 405. Undefined: any. */
  readonly methods?: readonly string[];
  handle(request: HttpRequest, response: ServerResponse): void | Promise<void>;
}

/** A request as its handler sees it. */
export interface HttpRequest {
  readonly method: string;
  /** Decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Request lines and headers longer than this get 431; tokens and cookies fit in well. */
const MAX_HEADER_BYTES = 16 << 10;

/** The routes here take no body: what a client sends all the same is read and dropped, up to this. */
const MAX_IGNORED_BODY_BYTES = 64 << 10;

/** A client that has not sent its headers by then is cut off, so that it cannot hold a connection for nothing. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 60_000;
/** How often connections are looked at for these; they are late by this much at most. */
const CHECK_INTERVAL_MS = 5_000;

/** For `node:http`'s `createServer`: the bounds on what a client may send and how slowly. */
export const HTTP_SERVER_OPTIONS: Readonly<ServerOptions> = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  connectionsCheckingInterval: CHECK_INTERVAL_MS,
};

/** Answers requests itself, body and all. */
export interface RequestServer {
  handles(request: IncomingMessage): boolean;
  serve(request: IncomingMessage, response: ServerResponse): void;
}

export interface HttpHandlerOptions {
  readonly log: Logger;
  /** Is asked before the routes. Default: there is none. */
  readonly gateway?: RequestServer | undefined;
}

/** Answers each request by the route of its path. An unexpected error is logged, and becomes a 500. */
export function httpHandler(
  routes: readonly Route[],
  { log, gateway }: HttpHandlerOptions,
): RequestListener {
  const byPath = new Map(routes.map((route) => [route.path, route]));
  return (message, response) => {
    const target = readTarget(message);
    let clean = cleanPath(target.path);
    // The gateway is all that is below a path, and not the path itself.
    if (clean === "/v3" && gateway !== undefined) clean = "/v3/";
    if (clean !== target.path && target.path.startsWith("/")) {
      dropBody(message);
      redirect(message, response, { ...target, path: clean });
      return;
    }
    if (gateway?.handles(message)) {
      gateway.serve(message, response);
      return;
    }
    dropBody(message);
    if (headerBytes(message) > MAX_HEADER_BYTES) {
      sendError(response, 431, "Request Header Fields Too Large");
      return;
    }
    const request = readRequest(message, target);
    const route = byPath.get(request.path);
    if (route === undefined) {
      sendError(response, 404, "404 page not found");
      return;
    }
    if (
      route.methods !== undefined && !route.methods.includes(request.method)
    ) {
      response.setHeader("Allow", route.methods.join(", "));
      sendError(response, 405, "Method Not Allowed");
      return;
    }
    answer(route, request, response, log);
  };
}

/** Sends a whole answer. */
export function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
): void {
  const bytes = ENCODER.encode(body);
  response.writeHead(status, {
    "Content-Type": contentType,
    "Content-Length": bytes.length,
  });
  response.end(bytes);
}

/** Sends an error as Go's `http.Error` words it: plain text, and a newline. */
export function sendError(
  response: ServerResponse,
  status: number,
  text: string,
): void {
  response.setHeader("X-Content-Type-Options", "nosniff");
  send(response, status, "text/plain; charset=utf-8", text + "\n");
}

const ENCODER = new TextEncoder();

async function answer(
  route: Route,
  request: HttpRequest,
  response: ServerResponse,
  log: Logger,
): Promise<void> {
  try {
    await route.handle(request, response);
  } catch (error) {
    log.error("HTTP request failed", { path: route.path, error });
    if (response.headersSent) response.destroy();
    else sendError(response, 500, "Internal Server Error");
  }
}

function readRequest(
  { method = "GET" }: IncomingMessage,
  { path, query }: RequestTarget,
): HttpRequest {
  return { method, path, query: new URLSearchParams(query) };
}

const UNSAFE = /[^\x21-\x7e]/g;

function encodeByte(c: string): string {
  return `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

const HTML_ESCAPES: Readonly<Record<string, string>> = {
  "<": "&lt;",
  ">": "&gt;",
  "&": "&amp;",
  "'": "&#39;",
  '"': "&#34;",
};

/** As Go's `http.Redirect`. */
function redirect(
  { method }: IncomingMessage,
  response: ServerResponse,
  { path, query }: RequestTarget,
): void {
  const search = query === "" ? "" : `?${query}`;
  // A target may have bytes that a header must not.
  const location = encodeURI(path) + search.replace(UNSAFE, encodeByte);
  response.setHeader("Location", location);
  if (method !== "GET" && method !== "HEAD") {
    response.writeHead(307, { "Content-Length": 0 });
    response.end();
    return;
  }
  const text = location.replace(/[<>&'"]/g, (c) => HTML_ESCAPES[c]!);
  const body = `<a href="${text}">Temporary Redirect</a>.\n\n`;
  send(response, 307, "text/html; charset=utf-8", body);
}

/** `node:http` bounds them itself, but not in Deno before 2.8. */
function headerBytes({ rawHeaders, url = "" }: IncomingMessage): number {
  let bytes = url.length;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

function dropBody(message: IncomingMessage): void {
  let bytes = 0;
  message.on("data", (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > MAX_IGNORED_BODY_BYTES) message.destroy();
  });
  // A client that goes away while it sends is no news.
  message.on("error", () => {});
}
