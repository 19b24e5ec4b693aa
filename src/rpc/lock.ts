import { EMPTY } from "../base/bytes.ts";
import { DomainError } from "../base/errors.ts";
import {
  type LockRequest,
  type LockResponse,
  LockService,
  newLockResponse,
  newUnlockResponse,
  type UnlockRequest,
  type UnlockResponse,
} from "../pb/v3lockpb.ts";
import type { Call, Method } from "../transport/grpc/service.ts";
import { type Recipes, withoutCode } from "./recipes.ts";

/** v3lockpb.Lock (etcd, server/etcdserver/api/v3lock). */
export class LockHandlers {
  constructor(readonly recipes: Recipes) {}

  methods(): Method[] {
    const { lock, unlock } = LockService.methods;
    return [
      {
        ...lock,
        kind: "unary",
        handle: (r: LockRequest, call: Call) => withoutCode(this.lock(r, call)),
      },
      {
        ...unlock,
        kind: "unary",
        handle: (r: UnlockRequest, call: Call) =>
          withoutCode(this.unlock(r, call)),
      },
    ];
  }

  /** Waits until the lock is the lease's. A client that stops waiting leaves no key behind. */
  async lock(request: LockRequest, call: Call): Promise<LockResponse> {
    const { recipes } = this;
    const lease = await recipes.lease(request.lease, call);
    const own = await recipes.enter(request.name, lease, EMPTY, call);
    const { key, first } = own;
    if (first === undefined || first.createRevision === own.revision) {
      return newLockResponse({ header: own.header, key });
    }
    try {
      await recipes.waitForTurn(own, call);
    } catch (error) {
      await recipes.cleanUp(recipes.delete(key, call));
      throw error;
    }
    // The lease may have run out meanwhile, and the key with it.
    const { header, kvs } = await recipes.get(key, call);
    if (kvs.length === 0) throw new DomainError("lockSessionExpired");
    return newLockResponse({ header, key });
  }

  async unlock({ key }: UnlockRequest, call: Call): Promise<UnlockResponse> {
    const { header } = await this.recipes.delete(key, call);
    return newUnlockResponse({ header });
  }
}
