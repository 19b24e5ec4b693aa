import { KeyChanges } from "../../src/rpc/key_changes.ts";
import { HeaderSource } from "../../src/rpc/header.ts";
import {
  newDeleteRangeRequest,
  newLeaseGrantResponse,
  type RangeRequest,
  type RangeResponse,
  type TxnRequest,
  type TxnResponse,
} from "../../src/pb/etcdserverpb.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { leaseStateKey } from "../../src/mvcc/lease_book.ts";
import type { Read, Store } from "../../src/mvcc/store.ts";
import { type RecipeKv, Recipes } from "../../src/rpc/recipes.ts";
import type { Call } from "../../src/transport/grpc/service.ts";
import { ANYBODY, type FakeLeases, openTestStore } from "./store.ts";

/** A call that its client can give up. */
export class FakeCall implements Call {
  readonly path = "/v3lockpb.Lock/Lock";
  readonly peer = "127.0.0.1:1";
  readonly certificateName = undefined;
  readonly deadlineMs = Infinity;
  readonly #abort = new AbortController();

  metadata(): string | undefined {
    return undefined;
  }

  get isCancelled(): boolean {
    return this.#abort.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  giveUp(): void {
    this.#abort.abort();
  }
}

/** The KV service without permissions, on a store in memory; counts what it is asked. */
export class CountingKv implements RecipeKv {
  ranges = 0;
  /** Called before a range is answered. */
  beforeRange: ((request: RangeRequest) => void) | undefined = undefined;

  constructor(readonly store: Store, readonly header: HeaderSource) {}

  range(request: RangeRequest): RangeResponse | Promise<RangeResponse> {
    this.ranges++;
    this.beforeRange?.(request);
    const read = this.store.range(request);
    return read instanceof Promise
      ? read.then((late) => this.#answer(late))
      : this.#answer(read);
  }

  async deleteRange(
    request: Parameters<RecipeKv["deleteRange"]>[0],
    _call: Call,
    bytes: number,
  ) {
    const { result, revision } = await this.store.deleteRange(
      request,
      bytes,
      ANYBODY,
    );
    result.header = this.header.at(revision);
    return result;
  }

  async txn(
    request: TxnRequest,
    _call: Call,
    bytes: number,
  ): Promise<TxnResponse> {
    const { result, revision } = await this.store.txn(request, bytes, ANYBODY);
    result.header = this.header.at(revision);
    return result;
  }

  #answer({ response, revision }: Read<RangeResponse>): RangeResponse {
    response.header = this.header.at(revision);
    return response;
  }
}

/** Recipes on a store in memory, with leases without time. */
export class RecipeFixture {
  readonly header = new HeaderSource(1n, 2n, 3);
  readonly changes = new KeyChanges();
  readonly kv: CountingKv;
  readonly recipes: Recipes;
  /** TTLs of the leases that were asked for. */
  readonly granted: number[] = [];

  constructor(readonly store: Store, readonly leases: FakeLeases) {
    store.addListener(this.changes);
    this.kv = new CountingKv(store, this.header);
    const grant = ({ TTL }: { TTL: number }) => {
      this.granted.push(TTL);
      const ID = this.lease(900n + BigInt(this.granted.length));
      return Promise.resolve(newLeaseGrantResponse({ ID, TTL }));
    };
    this.recipes = new Recipes(this.kv, { grant }, this.changes, store);
  }

  static async open(): Promise<RecipeFixture> {
    const { store, leases } = await openTestStore();
    return new RecipeFixture(store, leases);
  }

  /** Makes a lease with this id. */
  lease(id: bigint): bigint {
    this.leases.apply(leaseStateKey(id), utf8("lease"));
    return id;
  }

  async delete(key: Uint8Array): Promise<void> {
    const request = newDeleteRangeRequest({ key });
    await this.store.deleteRange(request, 0, ANYBODY);
  }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}
