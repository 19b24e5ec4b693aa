import type { RequestListener } from "node:http";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { parseUrl } from "../config/urls.ts";
import { HTTP_SERVER_OPTIONS } from "../http/router.ts";
import type { ListenAddress } from "../transport/address.ts";
import {
  type Http1Handover,
  openHttp1Handover,
  type UpgradeListener,
} from "../transport/http1_handover.ts";
import { Connection } from "../transport/http2/connection.ts";
import {
  DEFAULT_HTTP2_LIMITS,
  type Http2Limits,
} from "../transport/http2/limits.ts";
import type { StreamHandler } from "../transport/http2/stream_handler.ts";
import { ByContentType, HttpStreams } from "../transport/http_streams.ts";
import { Listener, type ListenerParts } from "../transport/listener.ts";
import type { TlsAcceptor } from "../transport/tls/tls_acceptor.ts";

/** What is served at an address; undefined: not there. */
export interface ListenerServices {
  readonly grpc: StreamHandler | undefined;
  readonly http: RequestListener | undefined;
  readonly upgrades?: UpgradeListener | undefined;
}

/** All addresses of a server, with the TLS that they share. */
export class Listeners {
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #open: Listener[] = [];
  readonly #handovers: Http1Handover[] = [];
  /** Undefined: no address speaks TLS. */
  #tls: TlsAcceptor | undefined = undefined;

  constructor(config: Config, clock: Clock, log: Logger) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
  }

  /** Connections of all addresses. */
  get connections(): number {
    return this.#open.reduce((n, listener) => n + listener.connections, 0);
  }

  /** Listens at each address; returns them with the ports that were chosen. */
  async open(
    urls: readonly string[],
    parts: ListenerServices,
  ): Promise<string[]> {
    const clock = this.#clock;
    const log = this.#log;
    const listening: string[] = [];
    for (const url of urls) {
      const http1 = parts.http === undefined
        ? undefined
        : await openHttp1Handover(parts.http, HTTP_SERVER_OPTIONS, {
          upgrades: parts.upgrades,
        });
      for (const address of addressesOf(url)) {
        const listener = new Listener(address, {
          http2: this.#http2(url, parts),
          http1,
          tls: await this.#tlsOf(url),
          clock,
          log,
        });
        await listener.listen();
        this.#open.push(listener);
        listening.push(listener.url);
      }
      if (http1 !== undefined) this.#handovers.push(http1);
    }
    return listening;
  }

  /** Plain HTTP/2 is gRPC, as etcd has it; with TLS it may be what a browser asks for. */
  #http2(
    url: string,
    { grpc, http }: ListenerServices,
  ): ListenerParts["http2"] {
    const other = parseUrl(url).isSecure && http !== undefined
      ? new HttpStreams(http)
      : undefined;
    const handler = grpc !== undefined && other !== undefined
      ? new ByContentType(grpc, other)
      : grpc ?? other;
    if (handler === undefined) return undefined;
    const clock = this.#clock;
    const limits = this.#http2Limits();
    return (sink, peer, certificateName) =>
      new Connection(sink, handler, clock, limits, peer, certificateName);
  }

  /** Loads what TLS needs when the first address asks for it: most servers start sooner without. */
  async #tlsOf(url: string): Promise<TlsAcceptor | undefined> {
    if (!parseUrl(url).isSecure) return undefined;
    if (this.#tls !== undefined) return this.#tls;
    const [{ clientTlsOptions }, { TlsAcceptor }] = await Promise.all([
      import("../config/client_tls.ts"),
      import("../transport/tls/tls_acceptor.ts"),
    ]);
    const options = clientTlsOptions(this.#config, this.#clock, this.#log);
    return this.#tls = new TlsAcceptor(options, this.#clock, this.#log);
  }

  #http2Limits(): Http2Limits {
    const config = this.#config;
    return {
      ...DEFAULT_HTTP2_LIMITS,
      maxConcurrentStreams: config.maxConcurrentStreams,
      pingIntervalMs: config.grpcKeepaliveIntervalMs,
      pingTimeoutMs: config.grpcKeepaliveTimeoutMs,
      minPingIntervalMs: config.grpcKeepaliveMinTimeMs,
    };
  }

  /** Takes no more connections; resolves when those that are open have ended, or after the grace. */
  async shutdown(graceMs: number): Promise<void> {
    await Promise.all(this.#open.map((listener) => listener.shutdown(graceMs)));
  }

  /** After `shutdown`. */
  async close(): Promise<void> {
    for (const handover of this.#handovers) await handover.close();
  }
}

/** Where a listen URL binds; `localhost` is both loopback addresses where there are two. */
function addressesOf(url: string): ListenAddress[] {
  const target = parseUrl(url);
  if (target.kind === "unix") return [{ kind: "unix", path: target.path }];
  const host = target.host === "localhost" || target.host === ""
    ? "127.0.0.1"
    : target.host;
  return [{
    kind: "tcp",
    host: target.host === "" ? "0.0.0.0" : host,
    port: target.port,
  }];
}
