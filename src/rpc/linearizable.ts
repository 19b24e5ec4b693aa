import type { Method, UnaryMethod } from "../transport/grpc/service.ts";

/** Knows when everything is applied that was committed before; undefined: it always is. */
export interface Barrier {
  barrier(): Promise<void> | undefined;
}

/**
 * Reads that etcd sends through its log, or to its leader: they see whatever was committed before them, on any server.
 * Range and Txn see to it by themselves.
 */
const LINEARIZABLE: ReadonlySet<string> = new Set([
  "/etcdserverpb.Auth/Authenticate",
  "/etcdserverpb.Auth/AuthStatus",
  "/etcdserverpb.Auth/UserGet",
  "/etcdserverpb.Auth/UserList",
  "/etcdserverpb.Auth/RoleGet",
  "/etcdserverpb.Auth/RoleList",
  "/etcdserverpb.Lease/LeaseTimeToLive",
  "/etcdserverpb.Lease/LeaseLeases",
  "/etcdserverpb.Maintenance/Alarm",
]);

/** The method behind a barrier, if it is one that has to wait for it. */
export function linearizable(method: Method, log: Barrier): Method {
  return method.kind === "unary" && LINEARIZABLE.has(method.path)
    ? behind(log, method)
    : method;
}

function behind<Req, Res>(
  log: Barrier,
  method: UnaryMethod<Req, Res>,
): UnaryMethod<Req, Res> {
  return {
    ...method,
    handle(request, call, bytes) {
      const waiting = log.barrier();
      if (waiting === undefined) return method.handle(request, call, bytes);
      return waiting.then(() => method.handle(request, call, bytes));
    },
  };
}
