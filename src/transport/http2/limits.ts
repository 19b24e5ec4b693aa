import { DEFAULT_HEADER_TABLE_SIZE, MIN_MAX_FRAME_SIZE } from "./frame.ts";

/** Everything that bounds what one connection can take. Sizes in bytes. */
export interface Http2Limits {
  /** SETTINGS_MAX_CONCURRENT_STREAMS; further streams are refused. */
  readonly maxConcurrentStreams: number;
  /** SETTINGS_INITIAL_WINDOW_SIZE: what a client may send on a stream before it is consumed. */
  readonly initialWindowSize: number;
  /** The same for all streams of the connection together. */
  readonly connectionWindowSize: number;
  /** SETTINGS_MAX_FRAME_SIZE: longest payload that is accepted. */
  readonly maxFrameSize: number;
  /** SETTINGS_MAX_HEADER_LIST_SIZE: decoded size of a header section; also bounds its encoded size. */
  readonly maxHeaderListBytes: number;
  /** CONTINUATION frames per header section. */
  readonly maxContinuationFrames: number;
  /** SETTINGS_HEADER_TABLE_SIZE: the decoder's dynamic table. */
  readonly headerTableSize: number;

  /** While the socket holds more than this, DATA stays queued in its streams. */
  readonly maxUnsentBytes: number;
  /** A connection whose socket holds more than this is closed: what goes beyond `maxUnsentBytes` is answers to control frames. */
  readonly maxQueuedOutputBytes: number;
  /** While the streams hold more DATA than this, new streams are refused. */
  readonly maxBufferedBytes: number;
  /** `StreamReceiver.onDrain` is called when a stream's queue falls to this. */
  readonly lowWaterBytes: number;

  /** The limits that follow count within this time. */
  readonly floodWindowMs: number;
  /** SETTINGS frames. */
  readonly maxSettingsFrames: number;
  /** PING frames, above one for each HEADERS or DATA frame that was sent. */
  readonly maxPings: number;
  /** Streams reset before anything was answered, and streams that broke a rule, above one for each answer. */
  readonly maxRapidResets: number;
  /** Frames that ask for nothing: DATA without data, PRIORITY, unknown types. */
  readonly maxEmptyFrames: number;
  /** WINDOW_UPDATE frames, above four for each HEADERS or DATA frame that was sent. */
  readonly maxWindowUpdates: number;

  /** A client that has not sent its preface by then is cut off. */
  readonly prefaceTimeoutMs: number;
  /** A PING is sent when nothing was received for this long; 0: never. */
  readonly pingIntervalMs: number;
  /** The connection is closed if nothing is received for this long after the PING. */
  readonly pingTimeoutMs: number;
  /** A client's PINGs that come faster are strikes; after more than two it is told "too_many_pings". */
  readonly minPingIntervalMs: number;
  /** Whether a client without open streams may ping that often too, instead of every two hours. */
  readonly permitPingWithoutStream: boolean;
}

export const DEFAULT_HTTP2_LIMITS: Http2Limits = {
  // As etcd: Kubernetes multiplexes thousands of watches over one connection.
  maxConcurrentStreams: 2 ** 32 - 1,
  // The largest request of etcd's defaults (1.5 MiB) takes two rounds at most, and sixteen of them fit together.
  initialWindowSize: 1 << 20,
  connectionWindowSize: 16 << 20,
  // 16 KiB is enough to make the frame header's cost vanish, and bounds what a half-received frame holds.
  maxFrameSize: MIN_MAX_FRAME_SIZE,
  // Tokens are the only long fields here; Envoy allows 60 KiB for everything.
  maxHeaderListBytes: 64 << 10,
  // 64 KiB are five frames. The rest is for senders that split elsewhere.
  maxContinuationFrames: 32,
  headerTableSize: DEFAULT_HEADER_TABLE_SIZE,

  // Some milliseconds of a gigabit link: the kernel is never idle for want of the next turn.
  maxUnsentBytes: 1 << 20,
  // No burst of answers to requests that were legal comes near.
  maxQueuedOutputBytes: 16 << 20,
  // Several of the largest lists; more than that, and the peer is not reading what it asked for.
  maxBufferedBytes: 256 << 20,
  lowWaterBytes: 64 << 10,

  floodWindowMs: 10_000,
  // Clients send one or two in a connection's life.
  maxSettingsFrames: 100,
  // grpc-go measures its bandwidth with a PING for each round of DATA it receives.
  maxPings: 1_000,
  // A hundred calls a second that are cancelled at once.
  maxRapidResets: 1_000,
  maxEmptyFrames: 1_000,
  maxWindowUpdates: 10_000,

  prefaceTimeoutMs: 20_000,
  // grpc-keepalive-interval, -timeout and -min-time of etcd.
  pingIntervalMs: 2 * 60 * 60 * 1000,
  pingTimeoutMs: 20_000,
  minPingIntervalMs: 5_000,
  permitPingWithoutStream: false,
};
