import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import { once } from "node:events";

/**
 * A client made of what others wrote: @grpc/grpc-js for the transport and protobufjs for the messages, from
 * our .proto files. It can be pointed at any etcd.
 *
 * Messages are plain objects with the field names of the .proto files, int64 as strings, bytes as Buffer,
 * enums as names.
 */
// deno-lint-ignore no-explicit-any
export type Message = Record<string, any>;

const PROTO_DIR = new URL("../../proto/", import.meta.url).pathname;

const DEFINITION = loader.loadSync([
  "etcdserverpb/rpc.proto",
  "v3lockpb/v3lock.proto",
  "v3electionpb/v3election.proto",
  "grpc/health/v1/health.proto",
], {
  includeDirs: [PROTO_DIR],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

// deno-lint-ignore no-explicit-any
const PACKAGES = grpc.loadPackageDefinition(DEFINITION) as any;

/** Calls of one service, by method name as in the .proto file. */
export class ServiceClient {
  readonly #client: grpc.Client;

  constructor(
    service: grpc.ServiceClientConstructor,
    address: string,
    options: grpc.ClientOptions,
  ) {
    this.#client = new service(address, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      ...options,
    });
  }

  /** A unary call; rejects with grpc-js' ServiceError (`code`, `details`). */
  call(
    method: string,
    request: Message = {},
    options: grpc.CallOptions = {},
    metadata = new grpc.Metadata(),
  ): Promise<Message> {
    return new Promise((resolve, reject) => {
      // deno-lint-ignore no-explicit-any
      (this.#client as any)[method](
        request,
        metadata,
        options,
        (error: grpc.ServiceError | null, response: Message) =>
          error ? reject(error) : resolve(response),
      );
    });
  }

  /** A server-streaming or duplex call, raw. */
  // deno-lint-ignore no-explicit-any
  stream(method: string, ...args: unknown[]): any {
    // deno-lint-ignore no-explicit-any
    return (this.#client as any)[method](...args);
  }

  close(): void {
    this.#client.close();
  }
}

/** All services of one endpoint. */
export class EtcdClient {
  readonly kv: ServiceClient;
  readonly watch: ServiceClient;
  readonly lease: ServiceClient;
  readonly cluster: ServiceClient;
  readonly maintenance: ServiceClient;
  readonly auth: ServiceClient;
  readonly lock: ServiceClient;
  readonly election: ServiceClient;
  readonly health: ServiceClient;

  constructor(address: string, options: grpc.ClientOptions = {}) {
    const pb = PACKAGES.etcdserverpb;
    this.kv = new ServiceClient(pb.KV, address, options);
    this.watch = new ServiceClient(pb.Watch, address, options);
    this.lease = new ServiceClient(pb.Lease, address, options);
    this.cluster = new ServiceClient(pb.Cluster, address, options);
    this.maintenance = new ServiceClient(pb.Maintenance, address, options);
    this.auth = new ServiceClient(pb.Auth, address, options);
    this.lock = new ServiceClient(PACKAGES.v3lockpb.Lock, address, options);
    this.election = new ServiceClient(
      PACKAGES.v3electionpb.Election,
      address,
      options,
    );
    this.health = new ServiceClient(
      PACKAGES.grpc.health.v1.Health,
      address,
      options,
    );
  }

  /** A client that shows a token with every call. */
  static withToken(address: string, token: string): EtcdClient {
    const showToken: grpc.Interceptor = (options, nextCall) =>
      new grpc.InterceptingCall(nextCall(options), {
        start(metadata, listener, next) {
          metadata.set("token", token);
          next(metadata, listener);
        },
      });
    return new EtcdClient(address, { interceptors: [showToken] });
  }

  /** Logs in; the client that comes back is the user's. */
  async login(
    address: string,
    name: string,
    password: string,
  ): Promise<EtcdClient> {
    const { token } = await this.auth.call("Authenticate", { name, password });
    return EtcdClient.withToken(address, token);
  }

  put(key: string, value = "", more: Message = {}): Promise<Message> {
    return this.kv.call("Put", {
      key: Buffer.from(key),
      value: Buffer.from(value),
      ...more,
    });
  }

  range(key: string, rangeEnd = "", more: Message = {}): Promise<Message> {
    const request = {
      key: Buffer.from(key),
      range_end: Buffer.from(rangeEnd),
      ...more,
    };
    return this.kv.call("Range", request);
  }

  delete(key: string, rangeEnd = "", more: Message = {}): Promise<Message> {
    const request = {
      key: Buffer.from(key),
      range_end: Buffer.from(rangeEnd),
      ...more,
    };
    return this.kv.call("DeleteRange", request);
  }

  txn(request: Message): Promise<Message> {
    return this.kv.call("Txn", request);
  }

  /** The store's revision. */
  async revision(): Promise<number> {
    return Number((await this.range("\0nothing")).header.revision);
  }

  openWatch(): WatchClient {
    return new WatchClient(this.watch.stream("Watch"));
  }

  close(): void {
    for (
      const service of [
        this.kv,
        this.watch,
        this.lease,
        this.cluster,
        this.maintenance,
        this.auth,
        this.lock,
        this.election,
        this.health,
      ]
    ) service.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** One watch stream: what was received is kept until it is asked for. */
export class WatchClient {
  readonly #received: Message[] = [];
  #wake: (() => void) | undefined;
  #error: unknown;

  // deno-lint-ignore no-explicit-any
  constructor(readonly stream: any) {
    stream.on("data", (message: Message) => {
      this.#received.push(message);
      this.#wake?.();
    });
    stream.on("error", (error: unknown) => {
      this.#error = error;
      this.#wake?.();
    });
  }

  /** Sends a create request and returns the `created` answer. */
  async create(request: Message): Promise<Message> {
    this.send({ create_request: request });
    return await this.next();
  }

  send(request: Message): void {
    this.stream.write(request);
  }

  /** The next response; rejects if the stream ended or nothing comes in time. */
  async next(timeoutMs = 5000): Promise<Message> {
    const deadline = Date.now() + timeoutMs;
    while (this.#received.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error("no watch response in time");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#received.shift()!;
  }

  /** The next `count` events, over as many responses as it takes. */
  async events(count: number): Promise<Message[]> {
    const events: Message[] = [];
    while (events.length < count) events.push(...(await this.next()).events);
    return events;
  }

  /** How many responses wait to be read. */
  get pending(): number {
    return this.#received.length;
  }

  async cancel(): Promise<void> {
    const closed = once(this.stream, "close").catch(() => {});
    this.stream.cancel();
    let timer;
    await Promise.race([
      closed,
      new Promise((resolve) => timer = setTimeout(resolve, 100)),
    ]);
    clearTimeout(timer);
  }
}

/** Short forms for txn requests. */
export const op = {
  put: (key: string, value = "", more: Message = {}) => ({
    request_put: { key: Buffer.from(key), value: Buffer.from(value), ...more },
  }),
  range: (key: string, more: Message = {}) => ({
    request_range: { key: Buffer.from(key), ...more },
  }),
  delete: (key: string, rangeEnd = "") => ({
    request_delete_range: {
      key: Buffer.from(key),
      range_end: Buffer.from(rangeEnd),
    },
  }),
  txn: (request: Message) => ({ request_txn: request }),
};
