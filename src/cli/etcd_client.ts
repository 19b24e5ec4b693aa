import * as grpc from "@grpc/grpc-js";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { AuthService } from "../pb/etcdserverpb.ts";
import type { Codec, MethodInfo } from "../pb/wire.ts";
import { CallError } from "./call_error.ts";
import { type Endpoint, parseEndpoint } from "./endpoint.ts";

/** How to reach a cluster. Certificates and keys are PEM texts, not paths. */
export interface ClientOptions {
  /** `http://host:port`, `https://…`, `host:port` or `unix:///path`; tried in this order. At least one. */
  readonly endpoints: readonly string[];
  /** Logs in as this user before the first call. Default: nobody. */
  readonly user?: string;
  /** The user's. Default: empty. */
  readonly password?: string;
  /** Who signs servers. Default: the system's list. */
  readonly cacert?: string;
  /** The client's own certificate and its key, for servers that ask for one. */
  readonly cert?: string;
  readonly key?: string;
  /** Takes any server's certificate: the traffic may go to anybody. Default: false. */
  readonly insecureSkipTlsVerify?: boolean;
  /** For a unary call and for connecting, in milliseconds; 0 for no bound. Default: 5000, as etcdctl. */
  readonly timeoutMs?: number;
}

/** A call that sends and receives. */
export interface Duplex<Req, Res> {
  /** Resolves once there is room for more. */
  send(request: Req): Promise<void>;
  /** In order; ends when the server ends it. Rejects with `CallError`. Leaving the loop cancels the call. */
  readonly messages: AsyncIterable<Res>;
  /** Nothing more will be sent. */
  end(): void;
  /** Gives the call up; `messages` then ends. */
  cancel(): void;
}

const DEFAULT_TIMEOUT_MS = 5000;
/** A token ran out, or the server that issued it was started again (etcd's `ErrInvalidAuthToken`). */
const UNAUTHENTICATED = grpc.status.UNAUTHENTICATED;
const AUTH_NOT_ENABLED = "etcdserver: authentication is not enabled";

/**
 * Calls etcd's API with the codecs that the server itself uses, over @grpc/grpc-js.
 *
 * Stays with the first endpoint that can be connected to. Never repeats a call that may have been done:
 * only one that was refused for its token goes out again, after a new login.
 */
export class EtcdClient implements Disposable {
  readonly #endpoints: readonly Endpoint[];
  readonly #options: ClientOptions;
  readonly #timeoutMs: number;
  #connected: Promise<Connected> | undefined;
  #token: Promise<string | undefined> | undefined;
  /** What `close` cancels. */
  readonly #calls = new Set<{ cancel(): void }>();
  #isClosed = false;

  /** Throws a `TypeError` for an endpoint that is none. Connects with the first call. */
  constructor(options: ClientOptions) {
    const isSecure = options.cacert !== undefined || options.cert !== undefined;
    this.#endpoints = options.endpoints.map((name) => {
      const endpoint = parseEndpoint(name, isSecure);
      if (endpoint === undefined) {
        throw new TypeError(
          `Cannot use endpoint "${name}": it must look like http://host:2379`,
        );
      }
      return endpoint;
    });
    if (this.#endpoints.length === 0) {
      throw new TypeError("Cannot connect: no endpoint is given");
    }
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  /** One request, one response. Rejects with `CallError`. */
  async unary<Req, Res>(
    method: MethodInfo<Req, Res>,
    request: Req,
  ): Promise<Res> {
    const { channel, endpoint } = await this.#connect();
    const token = await this.#login();
    try {
      return await this.#call(channel, method, request, token);
    } catch (error) {
      const isStale = (error as grpc.ServiceError).code === UNAUTHENTICATED;
      if (!isStale || token === undefined) {
        throw CallError.of(error, endpoint.name);
      }
      this.#token = undefined;
      const fresh = await this.#login();
      return await this.#call(channel, method, request, fresh)
        .catch((again) => Promise.reject(CallError.of(again, endpoint.name)));
    }
  }

  /** One request, many responses; no time limit. Leaving the loop cancels the call. */
  async *serverStream<Req, Res>(
    method: MethodInfo<Req, Res>,
    request: Req,
  ): AsyncGenerator<Res, void, undefined> {
    const { channel, endpoint } = await this.#connect();
    const metadata = metadataWith(await this.#login());
    const call = channel.makeServerStreamRequest(
      method.path,
      serializer(method.request),
      deserializer(method.response),
      request,
      metadata,
    );
    this.#track(call);
    yield* new ReceivedMessages(call, endpoint.name);
  }

  /** Requests and responses in any order; no time limit. */
  async duplex<Req, Res>(
    method: MethodInfo<Req, Res>,
  ): Promise<Duplex<Req, Res>> {
    const { channel, endpoint } = await this.#connect();
    const call = channel.makeBidiStreamRequest(
      method.path,
      serializer(method.request),
      deserializer(method.response),
      metadataWith(await this.#login()),
    );
    this.#track(call);
    const received = new ReceivedMessages(call, endpoint.name);
    return {
      send: (message) =>
        new Promise((resolve) => {
          if (call.write(message) || call.destroyed) return resolve();
          call.once("drain", resolve);
          call.once("close", resolve);
        }),
      messages: received,
      end: () => call.end(),
      cancel: () => received.cancel(),
    };
  }

  /** The endpoint that calls go to, as the user wrote it. */
  async endpoint(): Promise<string> {
    return (await this.#connect()).endpoint.name;
  }

  /** Ends the connection; calls under way fail with CANCELLED. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#calls) call.cancel();
    this.#calls.clear();
    this.#connected?.then(({ channel }) => channel.close(), () => {});
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #call<Req, Res>(
    channel: grpc.Client,
    method: MethodInfo<Req, Res>,
    request: Req,
    token: string | undefined,
  ): Promise<Res> {
    return new Promise((resolve, reject) => {
      const call = channel.makeUnaryRequest(
        method.path,
        serializer(method.request),
        deserializer(method.response),
        request,
        metadataWith(token),
        this.#timeoutMs === 0 ? {} : { deadline: deadline(this.#timeoutMs) },
        (error, response) => {
          this.#calls.delete(call);
          if (error) reject(error);
          else resolve(response!);
        },
      );
      this.#calls.add(call);
    });
  }

  #track(call: ReceivingCall<unknown>): void {
    this.#calls.add(call);
    call.once("close", () => this.#calls.delete(call));
  }

  #connect(): Promise<Connected> {
    if (this.#isClosed) return Promise.reject(new Error("client is closed"));
    this.#connected ??= this.#connectToFirst().catch((error) => {
      this.#connected = undefined;
      throw error;
    });
    return this.#connected;
  }

  /** The first endpoint that answers; if none does, throws why the last did not. */
  async #connectToFirst(): Promise<Connected> {
    let failure: unknown;
    for (const endpoint of this.#endpoints) {
      const channel = this.#open(endpoint);
      const connecting = { cancel: () => channel.close() };
      this.#calls.add(connecting);
      try {
        await ready(channel, this.#timeoutMs);
        return { channel, endpoint };
      } catch (error) {
        if (this.#isClosed) throw error;
        channel.close();
        failure = CallError.of(error, endpoint.name);
      } finally {
        this.#calls.delete(connecting);
      }
    }
    throw failure;
  }

  #open(endpoint: Endpoint): grpc.Client {
    const { target, isSecure } = endpoint;
    return new grpc.Client(target, credentials(this.#options, endpoint), {
      ...(isSecure && !hasServerName(endpoint) &&
        { "grpc.ssl_target_name_override": NO_SERVER_NAME }),
      // The server says what is too large.
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // Each client has connections of its own: `bench` counts on it.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  #login(): Promise<string | undefined> {
    const { user: name, password = "" } = this.#options;
    if (name === undefined) return Promise.resolve(undefined);
    this.#token ??= this.#authenticate(name, password).catch((error) => {
      this.#token = undefined;
      throw error;
    });
    return this.#token;
  }

  async #authenticate(
    name: string,
    password: string,
  ): Promise<string | undefined> {
    const { channel, endpoint } = await this.#connect();
    const { authenticate } = AuthService.methods;
    try {
      const request = { name, password };
      return (await this.#call(channel, authenticate, request, undefined))
        .token;
    } catch (error) {
      const failure = CallError.of(error, endpoint.name);
      // As etcd's own client: a cluster without auth takes anybody.
      if (failure.message === AUTH_NOT_ENABLED) return undefined;
      throw failure;
    }
  }
}

interface Connected {
  readonly channel: grpc.Client;
  readonly endpoint: Endpoint;
}

function credentials(
  { cacert, cert, key, insecureSkipTlsVerify = false }: ClientOptions,
  endpoint: Endpoint,
): grpc.ChannelCredentials {
  if (!endpoint.isSecure) return grpc.credentials.createInsecure();
  const { hostname } = endpoint;
  return grpc.credentials.createSsl(pem(cacert), pem(key), pem(cert), {
    ...(!hasServerName(endpoint) && {
      checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
        checkServerIdentity(hostname, certificate),
    }),
    ...(insecureSkipTlsVerify &&
      { rejectUnauthorized: false, checkServerIdentity: () => undefined }),
  });
}

/**
 * grpc-js sends a host's name with TLS even if it is an address, which RFC 6066, 3 does not allow and
 * Deno refuses. So this is sent in its place, and the certificate is still compared with the address.
 */
const NO_SERVER_NAME = "localhost";

function hasServerName({ hostname }: Endpoint): boolean {
  return isIP(hostname) === 0;
}

function pem(text: string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
}

/**
 * Resolves when the channel is connected, rejects at the first failure: `Client.waitForReady` would
 * go on trying until the deadline.
 */
function ready(channel: grpc.Client, timeoutMs: number): Promise<void> {
  const wire = channel.getChannel();
  const end = deadline(timeoutMs);
  return new Promise((resolve, reject) => {
    const look = (timeout?: Error) => {
      const state = wire.getConnectivityState(true);
      if (state === grpc.connectivityState.READY) return resolve();
      if (timeout !== undefined) {
        return reject(new Error("connection timed out", { cause: timeout }));
      }
      if (state === grpc.connectivityState.SHUTDOWN) {
        return reject(new Error("client is closed"));
      }
      if (state === grpc.connectivityState.TRANSIENT_FAILURE) {
        return failureOf(channel).then(reject);
      }
      wire.watchConnectivityState(state, end, look);
    };
    look();
  });
}

/** Why a channel does not connect: only a call is told. */
function failureOf(channel: grpc.Client): Promise<grpc.ServiceError> {
  return new Promise((resolve) => {
    const nothing = (): Buffer => Buffer.alloc(0);
    const health = "/grpc.health.v1.Health/Check";
    channel.makeUnaryRequest(
      health,
      nothing,
      nothing,
      null,
      (error) =>
        resolve(error ?? new Error("connection failed") as grpc.ServiceError),
    );
  });
}

type ReceivingCall<Res> =
  | grpc.ClientReadableStream<Res>
  | grpc.ClientDuplexStream<unknown, Res>;

/** What a stream brings. grpc-js reports a failed call as a failed stream. */
class ReceivedMessages<Res> implements AsyncIterable<Res> {
  readonly #call: ReceivingCall<Res>;
  readonly #endpoint: string;
  #isCancelled = false;

  constructor(call: ReceivingCall<Res>, endpoint: string) {
    this.#call = call;
    this.#endpoint = endpoint;
    // The loop below is told of failures; without a listener, one before it would end the process.
    call.on("error", () => {});
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#call.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Res, void, undefined> {
    try {
      for await (const message of this.#call) yield message as Res;
    } catch (error) {
      if (this.#isCancelled) return;
      throw CallError.of(error, this.#endpoint);
    } finally {
      this.cancel();
    }
  }
}

function deadline(timeoutMs: number): number {
  return timeoutMs === 0 ? Infinity : Date.now() + timeoutMs;
}

function metadataWith(token: string | undefined): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (token !== undefined) metadata.set("token", token);
  return metadata;
}

function serializer<M>(codec: Codec<M>): (message: M) => Buffer {
  return (message) => {
    const bytes = Buffer.alloc(codec.size(message));
    codec.write(message, bytes, 0);
    return bytes;
  };
}

function deserializer<M>(codec: Codec<M>): (bytes: Buffer) => M {
  return (bytes) => codec.decode(bytes);
}
