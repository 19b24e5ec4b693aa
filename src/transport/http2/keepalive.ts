import type { Clock, Timer } from "../../base/clock.ts";
import { ConnectionError } from "./errors.ts";
import { ErrorCode } from "./frame.ts";
import type { Http2Limits } from "./limits.ts";

/** Strikes that are forgiven, and how often a client without calls may ping; both as in grpc-go's server. */
const MAX_STRIKES = 2;
const IDLE_PING_INTERVAL_MS = 2 * 60 * 60 * 1000;

/** What keepalive needs of its connection. */
export interface KeepaliveHost {
  /** When bytes were last received, in `Clock.monotonicMs()`. */
  readonly lastReceivedMs: number;
  sendKeepalivePing(): void;
  /** Nothing came after the PING. */
  keepaliveFailed(error: ConnectionError): void;
}

/** Finds out that a silent client is gone, and keeps clients from asking too often whether we are. */
export class Keepalive {
  readonly #host: KeepaliveHost;
  readonly #clock: Clock;
  readonly #limits: Http2Limits;
  #timer: Timer | undefined = undefined;
  /** When our PING went out; undefined: none is unanswered. */
  #pingedMs: number | undefined = undefined;
  #strikes = 0;
  #lastPingMs = -Infinity;
  #answersAtLastPing = 0;

  constructor(host: KeepaliveHost, clock: Clock, limits: Http2Limits) {
    this.#host = host;
    this.#clock = clock;
    this.#limits = limits;
  }

  start(): void {
    const { pingIntervalMs } = this.#limits;
    if (pingIntervalMs > 0) this.#arm(pingIntervalMs);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** The client sent a PING. `answers` grows with each HEADERS or DATA frame that we send. */
  pinged(nowMs: number, openStreams: number, answers: number): void {
    const sinceLastMs = nowMs - this.#lastPingMs;
    this.#lastPingMs = nowMs;
    if (answers !== this.#answersAtLastPing) {
      this.#answersAtLastPing = answers;
      this.#strikes = 0;
      return;
    }
    const { minPingIntervalMs, permitPingWithoutStream } = this.#limits;
    const mayPing = openStreams > 0 || permitPingWithoutStream;
    if (sinceLastMs < (mayPing ? minPingIntervalMs : IDLE_PING_INTERVAL_MS)) {
      this.#strikes++;
    }
    if (this.#strikes > MAX_STRIKES) {
      // Clients of grpc-go look for this text, and double their interval.
      throw new ConnectionError(ErrorCode.EnhanceYourCalm, "too_many_pings");
    }
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => this.#check());
  }

  #check(): void {
    const { pingIntervalMs, pingTimeoutMs } = this.#limits;
    const { lastReceivedMs } = this.#host;
    if (this.#pingedMs !== undefined && lastReceivedMs <= this.#pingedMs) {
      this.#host.keepaliveFailed(
        new ConnectionError(ErrorCode.NoError, "keepalive ping timed out"),
      );
      return;
    }
    this.#pingedMs = undefined;
    const nowMs = this.#clock.monotonicMs();
    const leftMs = lastReceivedMs + pingIntervalMs - nowMs;
    if (leftMs > 0) return this.#arm(leftMs);
    this.#pingedMs = nowMs;
    this.#arm(pingTimeoutMs);
    this.#host.sendKeepalivePing();
  }
}
