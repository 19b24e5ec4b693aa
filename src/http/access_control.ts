import type {
  IncomingMessage,
  RequestListener,
  ServerResponse,
} from "node:http";
import type { Logger } from "../base/log.ts";
import { gatewayPath } from "./gateway/paths.ts";
import { readTarget } from "./request_target.ts";
import { sendError } from "./router.ts";

export interface AccessControlOptions {
  /** Origins whose pages may ask; `*` is any, and so is none at all. */
  readonly cors: readonly string[];
  /** Names by which a client may call this server over plain HTTP; `*` is any, and so is none at all. */
  readonly hostWhitelist: readonly string[];
  /** Whether auth is on and the gateway is there: its users show tokens. Default: never. */
  readonly wantsTokens?: () => boolean;
  readonly log: Logger;
}

const NAME_IGNORED =
  "CommonName of client sending a request against gateway will be ignored and not used as expected";

/**
 * Lets browsers in (CORS), and keeps pages out that got a name of their own to point here (DNS rebinding,
 * CVE-2018-5702), as etcd's server/embed/serve.go. TLS needs no such list: a page's name is not in the certificate.
 * Who counts on the certificate for a name is told that the gateway does not.
 */
export class AccessControl {
  readonly #origins: ReadonlySet<string>;
  readonly #hosts: ReadonlySet<string>;
  readonly #wantsTokens: () => boolean;
  readonly #log: Logger;

  constructor(
    { cors, hostWhitelist, wantsTokens = () => false, log }:
      AccessControlOptions,
  ) {
    this.#origins = new Set(cors);
    this.#hosts = new Set(hostWhitelist);
    this.#wantsTokens = wantsTokens;
    this.#log = log;
  }

  /** The listener behind the checks. */
  guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      if (!this.#allowsHost(request)) return this.#refuse(request, response);
      if (this.#ignoresName(request)) {
        request.resume();
        return sendError(response, 400, NAME_IGNORED);
      }
      const origin = this.#allowedOrigin(request);
      if (origin !== undefined) setCorsHeaders(response, origin);
      if (request.method === "OPTIONS") {
        request.resume();
        response.writeHead(200, { "Content-Length": 0 });
        response.end();
        return;
      }
      listener(request, response);
    };
  }

  /** Whether a request will not be refused for where it comes from. */
  allows(request: IncomingMessage): boolean {
    return this.#allowsHost(request) && !this.#ignoresName(request);
  }

  /** Whether the name by which the client calls this server is one of its own. */
  #allowsHost(request: IncomingMessage): boolean {
    if (isAny(this.#hosts) || isSecure(request)) return true;
    return this.#hosts.has(hostname(request.headers.host ?? ""));
  }

  /** Whether somebody is known by a certificate and asks where that means nothing. */
  #ignoresName(request: IncomingMessage): boolean {
    return isNamed(request) && this.#wantsTokens() &&
      gatewayPath(readTarget(request).path) !== undefined;
  }

  /** What to send as allowed origin. */
  #allowedOrigin(request: IncomingMessage): string | undefined {
    if (isAny(this.#origins)) return "*";
    const { origin = "" } = request.headers;
    return this.#origins.has(origin) ? origin : undefined;
  }

  #refuse(request: IncomingMessage, response: ServerResponse): void {
    const host = hostname(request.headers.host ?? "");
    this.#log.warn("rejected an HTTP request, lest it be DNS rebinding", {
      host,
    });
    request.resume();
    sendError(response, 421, refusal(host));
  }
}

function isAny(names: ReadonlySet<string>): boolean {
  return names.size === 0 || names.has("*");
}

function isSecure({ socket }: IncomingMessage): boolean {
  return "encrypted" in socket && socket.encrypted === true;
}

/** The name is on the sockets of those who had to show a certificate. */
function isNamed({ socket }: IncomingMessage): boolean {
  return "certificateName" in socket && typeof socket.certificateName ===
      "string" &&
    socket.certificateName !== "";
}

/** Without the port, and without the brackets of an IPv6 address that has one; as Go's `net.SplitHostPort`. */
function hostname(host: string): string {
  const found = /^(?:\[([^\]]*)\]|([^:]*)):[^:]*$/.exec(host);
  return found === null ? host : found[1] ?? found[2] ?? "";
}

function setCorsHeaders(response: ServerResponse, origin: string): void {
  response.setHeader(
    "Access-Control-Allow-Methods",
    "POST, GET, OPTIONS, PUT, DELETE",
  );
  response.setHeader("Access-Control-Allow-Origin", origin);
  response.setHeader(
    "Access-Control-Allow-Headers",
    "accept, content-type, authorization",
  );
}

/** etcd's text, which names the flag to use. */
function refusal(host: string): string {
  return `
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist ${JSON.stringify(host)}

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).
`;
}
