import { freePort } from "../../support/cluster.ts";
import { EtcdClient } from "../../support/etcd_client.ts";
import { TcpForwarder } from "../../support/tcp_forwarder.ts";
import { ServerProcess } from "../crash/server_process.ts";

/** More than any start, on a machine that has other things to do. */
const READY_TIMEOUT_MS = 60_000;

/** What a shell says of SIGSEGV. */
const RUNTIME_CRASH = 139;

/** Where a node's database is. */
export interface NodeDatabase {
  /** host:port */
  readonly address: string;
  /** The endpoint for a server that is to reach the database at this address. */
  endpointAt(address: string): string;
}

/**
 * A server process that shares a database with others. All that it says to the database goes through one forwarder,
 * all that other servers say to it through another, so that either can be cut; clients reach it directly.
 */
export class ReplicaNode implements AsyncDisposable {
  #server: ServerProcess | undefined;
  #isPaused = false;

  private constructor(
    readonly name: string,
    readonly database: NodeDatabase,
    /** host:port, for clients; the same in all of its lives. */
    readonly address: string,
    readonly toDatabase: TcpForwarder,
    readonly fromPeers: TcpForwarder,
    readonly dataDir: string,
    readonly flags: readonly string[],
  ) {}

  /** Prepares one; it still wants to be started. */
  static async create(
    name: string,
    database: NodeDatabase,
    dataDir: string,
    flags: readonly string[] = [],
  ): Promise<ReplicaNode> {
    const address = `127.0.0.1:${await freePort()}`;
    return new ReplicaNode(
      name,
      database,
      address,
      await TcpForwarder.start(() => [database.address]),
      await TcpForwarder.start(() => [address]),
      dataDir,
      flags,
    );
  }

  /** Whether calls may be answered. */
  get isServing(): boolean {
    return this.#server !== undefined && !this.#isPaused;
  }

  /** The end of its log. */
  get log(): string {
    return this.#server?.log ?? "";
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const { dataDir, database, toDatabase, fromPeers } = this;
    const server = ServerProcess.spawn(dataDir, [
      `--name=${this.name}`,
      `--endpoint=${database.endpointAt(toDatabase.address)}`,
      `--listen-client-urls=http://${this.address}`,
      `--advertise-client-urls=http://${fromPeers.address}`,
      ...this.flags,
    ]);
    let timer;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), READY_TIMEOUT_MS);
    });
    const address = await Promise.race([server.ready, late]);
    clearTimeout(timer);
    if (address === undefined) {
      await server.kill();
      throw new Error(`${this.name} did not start: ${server.log}`);
    }
    this.#server = server;
  }

  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const ending = await server?.kill();
    if (ending !== undefined && ending.signal !== "SIGKILL") {
      throw new Error(
        `${this.name} ended by itself with ${ending.code}: ${server?.log}`,
      );
    }
  }

  /** SIGTERM; throws if it does not end well. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const ending = await server?.stop();
    if (ending === undefined || ending.code === 0) return;
    const message = `${this.name} ended with ${ending.code}: ${server?.log}`;
    // Once in a hundred times Deno 2.9.6 itself crashes at its very end; the data is looked at afterwards.
    if (ending.code === RUNTIME_CRASH) console.log(message);
    else throw new Error(message);
  }

  pause(): void {
    this.#isPaused = true;
    this.#server?.pause();
  }

  resume(): void {
    this.#server?.resume();
    this.#isPaused = false;
  }

  /** Whether it says that it is the sequencer, which members show as the leader. */
  async isSequencer(): Promise<boolean> {
    if (!this.isServing) return false;
    using etcd = new EtcdClient(this.address);
    try {
      const status = await etcd.maintenance.call("Status", {}, {
        deadline: Date.now() + 1000,
      });
      return status.leader === status.header.member_id;
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    await this.#server?.kill();
    await this.toDatabase[Symbol.asyncDispose]();
    await this.fromPeers[Symbol.asyncDispose]();
  }
}
