import type { Socket } from "node:net";
import tls, { type Server, type TLSSocket } from "node:tls";
import { assert } from "../../base/assert.ts";
import type { Clock, Timer } from "../../base/clock.ts";
import { type Logger, LogThrottle } from "../../base/log.ts";
import { chooseSuites } from "./cipher_suites.ts";
import { checkClient } from "./client_certificate.ts";
import {
  isReadByOthers,
  readMaterial,
  stampOf,
  type TlsMaterial,
} from "./tls_material.ts";
import type { TlsOptions } from "./tls_options.ts";

export interface TlsLimits {
  /** A handshake that is not done by then is given up; etcd's `tlsHandshakeTimeout`. */
  readonly handshakeTimeoutMs: number;
  /** Handshakes under way, over all addresses: each holds buffers and costs a signature. */
  readonly maxHandshakes: number;
}

export const DEFAULT_TLS_LIMITS: TlsLimits = {
  handshakeTimeoutMs: 10_000,
  maxHandshakes: 1_000,
};

/** Takes a client over once it may be served; `certificateName` is who its certificate says it is. */
export type OnSecure = (
  socket: Socket,
  certificateName: string | undefined,
) => void;

/** What ALPN (RFC 7301) offers, best first. */
const PROTOCOLS = ["h2", "http/1.1"];

/** How often the files are looked at, if there are handshakes. */
const LOOK_PERIOD_MS = 1_000;
/** How often failures of the same kind are logged. */
const LOG_PERIOD_MS = 10_000;

interface Handshake {
  readonly onSecure: OnSecure;
  readonly timer: Timer;
}

/**
 * Does the server's side of TLS on sockets that were accepted elsewhere.
 *
 * The files are read again when they have changed, at the next handshake; what cannot be used is logged once, and
 * the last good state stays. Invariants: a socket comes out, once, only if everything that was asked of its client
 * holds, and nothing has read from it; every other socket is destroyed.
 */
export class TlsAcceptor {
  readonly #options: TlsOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #throttle: LogThrottle;
  readonly #limits: TlsLimits;
  readonly #suites: ReadonlySet<string>;
  /** Never listens: it is given sockets. */
  readonly #server: Server;
  readonly #handshakes = new Map<Socket, Handshake>();
  readonly #givenUp = new WeakSet<Socket>();
  #material: TlsMaterial;
  #stamp: string;
  #lookedMs: number;

  /** Reads the files; throws if they cannot be used. */
  constructor(
    options: TlsOptions,
    clock: Clock,
    log: Logger,
    limits: TlsLimits = DEFAULT_TLS_LIMITS,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#throttle = new LogThrottle(log, clock, { periodMs: LOG_PERIOD_MS });
    this.#limits = limits;
    this.#suites = chooseSuites(options.cipherSuites).accepted;
    this.#stamp = stampOf(options);
    this.#material = readMaterial(options);
    this.#lookedMs = clock.monotonicMs();
    this.#warnOfFiles();
    this.#server = tls.createServer({
      ...this.#contextOptions(),
      requestCert: options.trustedCaFile !== "",
      rejectUnauthorized: options.trustedCaFile !== "",
      ALPNProtocols: PROTOCOLS,
      // Ours is on our clock, and is the earlier one.
      handshakeTimeout: 2 * limits.handshakeTimeoutMs,
    });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error, socket) => {
      this.#failed(error, socket);
    });
  }

  /** Handshakes under way. */
  get handshakes(): number {
    return this.#handshakes.size;
  }

  /** Begins the handshake. Destroying the socket ends it. */
  accept(socket: Socket, onSecure: OnSecure): void {
    const { maxHandshakes, handshakeTimeoutMs } = this.#limits;
    if (this.#handshakes.size >= maxHandshakes) {
      this.#throttle.warn("too many TLS handshakes", { maxHandshakes });
      socket.destroy();
      return;
    }
    this.#look();
    const timer = this.#clock.after(handshakeTimeoutMs, () => {
      this.#givenUp.add(socket);
      this.#throttle.warn("TLS handshake took too long", peerOf(socket));
      socket.destroy();
    });
    this.#handshakes.set(socket, { onSecure, timer });
    socket.on("close", () => this.#end(socket));
    this.#server.emit("connection", socket);
  }

  #secured(socket: TLSSocket): void {
    socket.on("error", () => {}); // `close` follows
    const raw = rawOf(socket);
    const handshake = this.#end(raw);
    if (handshake === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    const suite = this.#forbiddenSuite(socket);
    if (suite !== undefined) {
      this.#refuse(socket, "TLS cipher suite is not allowed", { suite });
      return;
    }
    let certificateName: string | undefined;
    if (this.#options.trustedCaFile !== "") {
      const verdict = this.#checkClient(socket);
      if (!verdict.isValid) {
        const { reason } = verdict;
        this.#refuse(socket, "client certificate refused", { reason });
        return;
      }
      if (this.#options.clientCertAuth && verdict.commonName !== "") {
        certificateName = verdict.commonName;
      }
    }
    handshake.onSecure(socket, certificateName);
  }

  /** The runtime chooses among all its suites, by the client's preference: what it chose is looked at. */
  #forbiddenSuite(socket: TLSSocket): string | undefined {
    const isFree = this.#options.cipherSuites.length === 0 ||
      socket.getProtocol() === "TLSv1.3";
    const { standardName } = socket.getCipher();
    return isFree || this.#suites.has(standardName) ? undefined : standardName;
  }

  #checkClient(socket: TLSSocket): ReturnType<typeof checkClient> {
    try {
      return checkClient(socket, this.#material, {
        allowedHostnames: this.#options.clientCertAllowedHostnames,
        nowMs: this.#clock.wallMs(),
      });
    } catch (error) {
      return { isValid: false, reason: `it cannot be read: ${error}` };
    }
  }

  #refuse(
    socket: TLSSocket,
    msg: string,
    fields: Record<string, unknown>,
  ): void {
    this.#throttle.warn(msg, { ...fields, ...peerOf(socket) });
    socket.destroy();
  }

  #failed(error: Error, socket: TLSSocket): void {
    const raw = rawOf(socket);
    this.#end(raw);
    socket.on("error", () => {}); // `close` follows
    socket.destroy();
    // One that took too long, or that came only to see whether the port is open.
    if (this.#givenUp.has(raw) || raw.bytesRead === 0) return;
    const { code } = error as Error & { code?: string };
    if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
      this.#throttle.warn("client without TLS on a TLS port", peerOf(raw));
      return;
    }
    // Where the certificate was the reason, the error says only that the connection is gone.
    const reason = socket.authorizationError ?? error.message;
    this.#throttle.warn("TLS handshake failed", {
      reason: String(reason),
      ...peerOf(raw),
    });
  }

  #end(socket: Socket): Handshake | undefined {
    const handshake = this.#handshakes.get(socket);
    this.#handshakes.delete(socket);
    handshake?.timer.cancel();
    return handshake;
  }

  /** Reads the files again if they have changed. */
  #look(): void {
    const now = this.#clock.monotonicMs();
    if (now - this.#lookedMs < LOOK_PERIOD_MS) return;
    this.#lookedMs = now;
    const stamp = stampOf(this.#options);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      this.#material = readMaterial(this.#options);
    } catch (error) {
      // Files that are replaced one by one do not match for a moment.
      this.#log.warn("changed TLS files cannot be used: the old ones stay", {
        error,
      });
      return;
    }
    this.#server.setSecureContext(this.#contextOptions());
    this.#log.info("TLS files have changed and are in use");
    this.#warnOfFiles();
  }

  #contextOptions(): tls.SecureContextOptions {
    const { cert, key, ca } = this.#material;
    const { minVersion, maxVersion } = this.#options;
    return {
      cert,
      key,
      minVersion,
      maxVersion,
      ...(ca === undefined ? {} : { ca }),
    };
  }

  #warnOfFiles(): void {
    const { keyFile, clientCrlFile } = this.#options;
    if (isReadByOthers(keyFile)) {
      this.#log.warn("private key can be read by others", { keyFile });
    }
    for (const { nextUpdateMs = Infinity } of this.#material.revocations) {
      if (nextUpdateMs > this.#clock.wallMs()) continue;
      this.#log.warn("certificate revocation list is out of date", {
        clientCrlFile,
        nextUpdate: new Date(nextUpdateMs),
      });
    }
  }
}

/** The socket below. Node has had the field for a decade; without it no client could be told from another. */
function rawOf(socket: TLSSocket): Socket {
  const { _parent: raw } = socket as TLSSocket & { _parent?: Socket };
  assert(raw !== undefined, "a TLS socket has a socket below it");
  return raw;
}

function peerOf({ remoteAddress, remotePort }: Socket): {
  peer: string | undefined;
} {
  return {
    peer: remoteAddress === undefined
      ? undefined
      : `${remoteAddress}:${remotePort}`,
  };
}
