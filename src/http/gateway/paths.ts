/**
 * The gateway's paths, and the method that each calls: the `google.api.http` options of etcd's rpc.proto,
 * v3lock.proto and v3election.proto. There is none for RangeStream.
 */
export const GATEWAY_PATHS: ReadonlyMap<string, string> = new Map([
  ...service("etcdserverpb.KV", "/v3/kv", {
    range: "Range",
    put: "Put",
    deleterange: "DeleteRange",
    txn: "Txn",
    compaction: "Compact",
  }),
  ["/v3/watch", "/etcdserverpb.Watch/Watch"],
  ...service("etcdserverpb.Lease", "/v3/lease", {
    grant: "LeaseGrant",
    revoke: "LeaseRevoke",
    keepalive: "LeaseKeepAlive",
    timetolive: "LeaseTimeToLive",
    leases: "LeaseLeases",
  }),
  // Where these were until etcd 3.4.
  ...service("etcdserverpb.Lease", "/v3/kv/lease", {
    revoke: "LeaseRevoke",
    timetolive: "LeaseTimeToLive",
    leases: "LeaseLeases",
  }),
  ...service("etcdserverpb.Cluster", "/v3/cluster/member", {
    add: "MemberAdd",
    remove: "MemberRemove",
    update: "MemberUpdate",
    list: "MemberList",
    promote: "MemberPromote",
  }),
  ...service("etcdserverpb.Maintenance", "/v3/maintenance", {
    alarm: "Alarm",
    status: "Status",
    defragment: "Defragment",
    hash: "Hash",
    hashkv: "HashKV",
    snapshot: "Snapshot",
    "transfer-leadership": "MoveLeader",
    downgrade: "Downgrade",
  }),
  ...service("etcdserverpb.Auth", "/v3/auth", {
    enable: "AuthEnable",
    disable: "AuthDisable",
    status: "AuthStatus",
    authenticate: "Authenticate",
    "user/add": "UserAdd",
    "user/get": "UserGet",
    "user/list": "UserList",
    "user/delete": "UserDelete",
    "user/changepw": "UserChangePassword",
    "user/grant": "UserGrantRole",
    "user/revoke": "UserRevokeRole",
    "role/add": "RoleAdd",
    "role/get": "RoleGet",
    "role/list": "RoleList",
    "role/delete": "RoleDelete",
    "role/grant": "RoleGrantPermission",
    "role/revoke": "RoleRevokePermission",
  }),
  ...service("v3lockpb.Lock", "/v3/lock", { lock: "Lock", unlock: "Unlock" }),
  ...service("v3electionpb.Election", "/v3/election", {
    campaign: "Campaign",
    proclaim: "Proclaim",
    leader: "Leader",
    observe: "Observe",
    resign: "Resign",
  }),
]);

function service(
  name: string,
  prefix: string,
  methods: Readonly<Record<string, string>>,
): [string, string][] {
  return Object.entries(methods).map((
    [path, method],
  ) => [`${prefix}/${path}`, `/${name}/${method}`]);
}

/** Paths below this are the gateway's, and errors there are JSON. */
const PREFIX = "/v3/";
const OLD_PREFIX = "/v3beta/";

/** A request's path as the gateway knows it, or undefined if it is none of the gateway's. */
export function gatewayPath(path: string): string | undefined {
  if (path.startsWith(OLD_PREFIX)) {
    return PREFIX + path.slice(OLD_PREFIX.length);
  }
  return path.startsWith(PREFIX) ? path : undefined;
}
