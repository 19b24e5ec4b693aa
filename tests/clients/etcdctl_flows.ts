/**
 * What `etcdctl` is asked and what it has to answer: on Stele and on etcd, with etcdctl 3.4 to 3.7.
 *
 * In arguments, input and expectations, `{p}` is a key prefix of the flow's own, `{endpoint}` the server, `{dir}`
 * a directory, and `{name}` what an earlier step of the flow has saved.
 */
export interface Step {
  /** Separated by spaces; an array where one of them has spaces in it. */
  readonly args: string | readonly string[];
  readonly stdin?: string;
  /** What standard output matches. Default: anything. */
  readonly out?: RegExp;
  /** What standard error matches. Default: anything. */
  readonly err?: RegExp;
  /** Default 0. */
  readonly code?: number;
  /** The name under which the first group of `out` is kept. */
  readonly save?: string;
  /** The command does not end by itself: it is interrupted when `out` matches. */
  readonly endless?: boolean;
  /** Only an etcdctl of at least this version knows the command, as a number: 3.7 is 307. */
  readonly since?: number;
  /** Only an etcdctl of at most this version does. */
  readonly upTo?: number;
}

export interface Flow {
  readonly name: string;
  readonly steps: readonly Step[];
}

const FIELD = (name: string, value = "\\d+") =>
  new RegExp(`^"${name}" : ${value}$`, "m");

const KV: Flow = {
  name: "keys",
  steps: [
    { args: "put {p}a 1", out: /^OK\n$/ },
    { args: "put {p}a 2 --prev-kv", out: /^OK\n{p}a\n1\n$/ },
    { args: "put {p}b", stdin: "from stdin", out: /^OK\n$/ },
    { args: "get {p}a", out: /^{p}a\n2\n$/ },
    { args: "get {p} --prefix", out: /^{p}a\n2\n{p}b\nfrom stdin\n$/ },
    { args: "get {p}a {p}b", out: /^{p}a\n2\n$/ },
    {
      args: "get {p}b --from-key --limit 1 --print-value-only",
      out: /^from stdin\n$/,
    },
    { args: "get {p} --prefix --keys-only", out: /^{p}a\n\n{p}b\n\n$/ },
    {
      args: "get {p} --prefix --order DESCEND --sort-by KEY",
      out: /^{p}b\nfrom stdin\n{p}a\n2\n$/,
    },
    { args: "get {p} --prefix --sort-by CREATE --limit 1", out: /^{p}a\n2\n$/ },
    { args: "get {p}a --consistency s", out: /^{p}a\n2\n$/ },
    {
      args: "get {p} --prefix --count-only -w fields",
      out: FIELD("Count", "2"),
      since: 305,
    },
    {
      args: "get {p} --prefix --stream",
      out: /^{p}a\n2\n{p}b\nfrom stdin\n$/,
      since: 307,
    },
    {
      args: "get {p}a -w fields",
      out: FIELD("ModRevision", "(\\d+)"),
      save: "rev",
    },
    { args: "get {p}a --rev {rev}", out: /^{p}a\n2\n$/ },
    {
      args: "get {p}a -w fields",
      out:
        /^"Version" : 2\n"Value" : "2"\n"Lease" : 0\n"More" : false\n"Count" : 1\n/m,
    },
    {
      args: "get {p}a -w json",
      out:
        /^\{"header":\{"cluster_id":\d+,"member_id":\d+,"revision":\d+,"raft_term":\d+\},"kvs":\[\{"key":"[\w+/=]+","create_revision":\d+,"mod_revision":{rev},"version":2,"value":"Mg=="\}\],"count":1\}\n$/,
    },
    { args: "get {p}a -w protobuf", out: /{p}a.*2/s },
    { args: "get {p}a -w table", err: /table.* not supported/, code: 4 },
    {
      args: "get {p}a --rev 1099511627776",
      err: /etcdserver: mvcc: required revision is a future revision/,
      code: 1,
    },
    { args: "get", err: /needs one argument as key/, code: 128 },
    { args: "get {p}none", out: /^$/ },
    {
      args: "put {p}none --ignore-value",
      err: /etcdserver: key not found/,
      code: 1,
    },
    { args: "put {p}a --ignore-value --lease 0", out: /^OK\n$/ },
    {
      args: "put {p}a x --lease 12345",
      err: /etcdserver: requested lease not found/,
      code: 1,
    },
    { args: ["put", "", "x"], err: /etcdserver: key is not provided/, code: 1 },
    { args: "del {p}b --prev-kv", out: /^1\n{p}b\nfrom stdin\n$/ },
    { args: "del {p}none", out: /^0\n$/ },
    { args: "del {p} --prefix", out: /^1\n$/ },
    { args: "get {p}a --rev {rev}", out: /^{p}a\n2\n$/ },
  ],
};

const TXN: Flow = {
  name: "transactions",
  steps: [
    { args: "put {p}a 1", out: /^OK/ },
    {
      args: "txn",
      stdin:
        'value("{p}a") = "1"\nver("{p}none") = "0"\n\nput {p}a 2\nget {p}a\n\nget {p}none\n\n',
      out: /^SUCCESS\n\nOK\n\n{p}a\n2\n$/,
    },
    {
      args: "txn",
      stdin: 'mod("{p}a") < "1"\n\nput {p}a 3\n\ndel {p}a\n\n',
      out: /^FAILURE\n\n1\n$/,
    },
    {
      args: "txn -i",
      stdin: 'create("{p}a") = "0"\n\nput {p}a 4\n\n\n',
      out: /compares:\n[^]*SUCCESS\n\nOK\n$/,
    },
    {
      args: "txn -w json",
      stdin: "\nget {p}a\n\n\n",
      out:
        /"succeeded":true,"responses":\[\{"Response":\{"response_?range":\{"header":\{/i,
    },
    {
      args: "txn",
      stdin: "\nput {p}a 1\nput {p}a 2\n\n\n",
      err: /etcdserver: duplicate key given in txn request/,
      code: 1,
    },
  ],
};

const WATCH: Flow = {
  name: "watches",
  steps: [
    {
      args: "put {p}a 1 -w fields",
      out: FIELD("Revision", "(\\d+)"),
      save: "rev",
    },
    { args: "put {p}a 2" },
    { args: "del {p}a" },
    {
      args: "watch {p}a --rev {rev}",
      out: /^PUT\n{p}a\n1\nPUT\n{p}a\n2\nDELETE\n{p}a\n\n/,
      endless: true,
    },
    {
      args: "watch {p} --prefix --prev-kv --rev {rev}",
      out: /^PUT\n{p}a\n1\nPUT\n{p}a\n1\n{p}a\n2\nDELETE\n{p}a\n2\n{p}a\n\n/,
      endless: true,
    },
    {
      args: "watch {p}a --rev {rev} -w json",
      out:
        /"Events":\[\{"kv":\{"key":"[\w+/=]+","create_revision":{rev},"mod_revision":{rev},"version":1,"value":"MQ=="\}\}/,
      endless: true,
    },
    {
      args: "watch {p}a --rev {rev} -- echo event",
      out: /^PUT\n{p}a\n1\n[^]*\nevent\n/,
      endless: true,
    },
    {
      args: [
        "watch",
        "{p}a",
        "--rev",
        "{rev}",
        "--",
        "sh",
        "-c",
        "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE",
      ],
      out: /"PUT" "{p}a" "1"\n/,
      endless: true,
    },
    { args: "compaction {rev}", out: /^compacted revision {rev}\n$/ },
    {
      args: "compaction {rev}",
      err: /etcdserver: mvcc: required revision has been compacted/,
      code: 1,
    },
    {
      args: "compaction 1099511627776",
      err: /etcdserver: mvcc: required revision is a future revision/,
      code: 1,
    },
    {
      args: "watch {p}a --rev 1",
      out: /^$/,
      err:
        /watch was canceled \(etcdserver: mvcc: required revision has been compacted\)\nError: watch is canceled by the server/,
      code: 5,
    },
    {
      args: "put {p}b 1 -w fields",
      out: FIELD("Revision", "(\\d+)"),
      save: "rev",
    },
    {
      args: "compaction {rev} --physical",
      out: /^compacted revision {rev}\n$/,
    },
  ],
};

const LEASE: Flow = {
  name: "leases",
  steps: [
    {
      args: "lease grant 100",
      out: /^lease ([0-9a-f]{16}) granted with TTL\(100s\)\n$/,
      save: "lease",
    },
    { args: "lease list", out: /^found \d+ leases\n[^]*{lease}\n/ },
    { args: "put {p}a 1 --lease {lease}", out: /^OK/ },
    { args: "put {p}a 2 --ignore-lease", out: /^OK/ },
    {
      args: "lease timetolive {lease}",
      out:
        /^lease {lease} granted with TTL\(100s\), remaining\((100|[89]\d)s\)\n$/,
    },
    {
      args: "lease timetolive {lease} --keys",
      out:
        /^lease {lease} granted with TTL\(100s\), remaining\(\d+s\), attached keys\(\[{p}a\]\)\n$/,
    },
    {
      args: "lease timetolive {lease} -w json",
      out: /"id":\d+,"ttl":\d+,"granted-ttl":100,"keys":null\}/,
    },
    {
      args: "lease keep-alive {lease} --once",
      out: /^lease {lease} keepalived with TTL\(100\)\n$/,
    },
    {
      args: "lease keep-alive {lease}",
      out: /^lease {lease} keepalived with TTL\(100\)\n/,
      endless: true,
    },
    { args: "lease revoke {lease}", out: /^lease {lease} revoked\n$/ },
    { args: "get {p}a", out: /^$/ },
    {
      args: "lease revoke {lease}",
      err: /etcdserver: requested lease not found/,
      code: 1,
    },
    {
      args: "lease timetolive {lease}",
      out: /^lease {lease} already expired\n$/,
    },
    {
      args: "lease keep-alive {lease} --once",
      err: /etcdserver: requested lease not found/,
      code: 2,
    },
    {
      args: "lease keep-alive {lease}",
      out: /^lease {lease} expired or revoked.\n$/,
    },
  ],
};

const CONCURRENCY: Flow = {
  name: "locks and elections",
  steps: [
    { args: "lock {p}lock -- echo held", out: /^held\n$/ },
    {
      args: [
        "lock",
        "{p}lock",
        "--",
        "sh",
        "-c",
        "echo $ETCD_LOCK_KEY; exit 3",
      ],
      out: /^{p}lock\/[0-9a-f]+\n$/,
      code: 3,
      since: 305,
    },
    {
      args: "lock {p}lock --ttl 5",
      out: /^{p}lock\/[0-9a-f]+\n\n$/,
      endless: true,
    },
    {
      args: "elect {p}e someone",
      out: /^{p}e\/[0-9a-f]+\nsomeone\n$/,
      endless: true,
    },
    { args: "get {p} --prefix", out: /^$/ },
  ],
};

const CLUSTER: Flow = {
  name: "endpoints and members",
  steps: [
    {
      args: "endpoint health",
      out:
        /^{endpoint} is healthy: successfully committed proposal: took = .*s\n$/,
      since: 305,
    },
    {
      args: "endpoint health",
      err:
        /^{endpoint} is healthy: successfully committed proposal: took = .*s\n$/,
      upTo: 304,
    },
    {
      args: "endpoint health -w json",
      out: /^\[\{"endpoint":"{endpoint}","health":true,"took":"[^"]+"\}\]\n$/,
    },
    { args: "endpoint health -w table", out: /{endpoint} +[|│] +true +[|│]/ },
    { args: "endpoint health --cluster", code: 0 },
    {
      args: "endpoint status",
      out: /^{endpoint}, [0-9a-f]{10,16}, 3\.\d+\.\d+, /,
    },
    {
      args: "endpoint status -w json",
      out:
        /^\[\{"Endpoint":"{endpoint}","Status":\{"header":\{"cluster_id":\d+,"member_id":(\d+),"revision":\d+,"raft_term":\d+\},"version":"3\.\d+\.\d+","dbSize":\d+,"leader":\1,"raftIndex":\d+,"raftTerm":\d+,"raftAppliedIndex":\d+,"dbSizeInUse":\d+/,
    },
    {
      args: "endpoint status -w json",
      out:
        /"dbSizeInUse":\d+,"storageVersion":"3\.\d+\.\d+","dbSizeQuota":\d+,"downgradeInfo":\{\}\}\}\]\n$/,
      since: 307,
    },
    {
      args: "endpoint status -w fields",
      out:
        /^"Leader" : \d+\n"IsLearner" : false\n"RaftIndex" : \d+\n"RaftTerm" : \d+\n"RaftAppliedIndex" : \d+\n"Errors" : \[\]\n"Endpoint" : "{endpoint}"\n/m,
    },
    {
      args: "endpoint status -w table",
      out: /{endpoint} [|│] [0-9a-f]+ [|│] +3\.\d+\.\d+ [|│]/,
    },
    { args: "endpoint hashkv", out: /^{endpoint}, \d+(, \d+)?\n$/ },
    {
      args: "endpoint hashkv -w json",
      out:
        /^\[\{"Endpoint":"{endpoint}","HashKV":\{"header":\{[^}]+\},"hash":\d+,"compact_revision":-?\d+/,
    },
    { args: "endpoint hashkv -w fields", out: FIELD("Hash") },
    {
      args: "endpoint hashkv --rev 1099511627776",
      err: /required revision is a future revision/,
      code: 1,
      since: 306,
    },
    {
      args: "member list",
      out: /^([0-9a-f]{16}), started, [^,]+, [^,]*, http[^,]+, false\n$/,
      save: "member",
    },
    {
      args: "member list -w json",
      out:
        /"members":\[\{"ID":\d+,"name":"[^"]+","peerURLs":\["[^"]+"\],"clientURLs":\["[^"]+"\]\}\]\}\n$/,
    },
    {
      args: "member list -w fields",
      out:
        /^"ID" : \d+\n"Name" : "[^"]+"\n"PeerURL" : "[^"]+"\n"ClientURL" : "[^"]+"\n"IsLearner" : false\n/m,
    },
    { args: "member list -w table", out: /{member} [|│] started [|│]/ },
    {
      args: "member remove 12345",
      err: /etcdserver: member not found/,
      code: 1,
    },
    {
      args: "member promote 12345",
      err: /etcdserver: member not found/,
      code: 1,
    },
    {
      args: "member promote {member}",
      err: /etcdserver: can only promote a learner member/,
      code: 1,
    },
    {
      args: "member update 12345 --peer-urls http://127.0.0.1:1",
      err: /etcdserver: member not found/,
      code: 1,
    },
    { args: "member remove nonsense", err: /bad member ID arg/, code: 128 },
    {
      args: "move-leader 12345",
      err: /etcdserver: bad leader transferee/,
      code: 1,
    },
    {
      args: "move-leader {member}",
      out: /^Leadership transferred from {member} to {member}\n$/,
    },
    {
      args: "downgrade validate 3.1",
      err: /etcdserver: invalid downgrade target version/,
      code: 1,
      since: 305,
    },
    {
      args: "downgrade validate nonsense",
      err: /etcdserver: wrong downgrade target version format/,
      code: 1,
      since: 305,
    },
    {
      args: "downgrade cancel",
      out: /^Downgrade cancel success, cluster version 3\.\d+\n$/,
      since: 305,
    },
  ],
};

const MAINTENANCE: Flow = {
  name: "maintenance",
  steps: [
    { args: "put {p}a 1" },
    { args: "alarm list", out: /^$/ },
    { args: "alarm disarm", out: /^$/ },
    {
      args: "defrag",
      out: /^Finished defragmenting etcd member\[{endpoint}\]/,
    },
    {
      args: "snapshot save {dir}/snapshot.db",
      out: /^Snapshot saved at {dir}\/snapshot\.db\n/,
    },
    {
      args: "snapshot save {dir}/none/snapshot.db",
      err: /could not open/,
      code: 5,
      since: 305,
    },
    {
      args: "version",
      out: /^etcdctl version: 3\.\d+\.\d+\nAPI version: 3\.\d+\n$/,
    },
    { args: "completion bash", out: /bash completion/, since: 305 },
    { args: "check perf --help", out: /--load/ },
  ],
};

/** Turns authentication on and off again: the last one. */
export const AUTH: Flow = {
  name: "authentication",
  steps: [
    {
      args: "auth status",
      out: /^Authentication Status: false\nAuthRevision: \d+\n$/,
      since: 305,
    },
    {
      args: "auth enable",
      err: /etcdserver: root user does not exist/,
      code: 1,
      since: 305,
    },
    { args: "user add root:secret", out: /^User root created\n$/ },
    {
      args: "user add alice --interactive=false",
      stdin: "alice's\n",
      out: /^User alice created\n$/,
    },
    { args: "user add guest --no-password", out: /^User guest created\n$/ },
    {
      args: "user add alice:x",
      err: /etcdserver: user name already exists/,
      code: 1,
    },
    { args: "user list", out: /^alice\nguest\nroot\n$/ },
    { args: "role add root", out: /^Role root created\n$/ },
    { args: "role add staff", out: /^Role staff created\n$/ },
    {
      args: "role add staff",
      err: /etcdserver: role name already exists/,
      code: 1,
    },
    { args: "role list", out: /^root\nstaff\n$/ },
    {
      args: "role grant-permission staff readwrite {p}staff/ --prefix",
      out: /^Role staff updated\n$/,
    },
    {
      args: "role grant-permission staff read {p}shared",
      out: /^Role staff updated\n$/,
    },
    {
      args: "role grant-permission staff read {p}x {p}z",
      out: /^Role staff updated\n$/,
    },
    {
      args: "role grant-permission none read {p}x",
      err: /etcdserver: role name not found/,
      code: 1,
    },
    {
      args: "role get staff",
      out:
        /^Role staff\nKV Read:\n\t{p}shared\n\t\[{p}staff\/, {p}staff0\) \(prefix {p}staff\/\)\n\t\[{p}x, {p}z\)\n?.*\nKV Write:\n\t\[{p}staff\/, {p}staff0\) \(prefix {p}staff\/\)\n$/,
    },
    {
      args: "role revoke-permission staff {p}x {p}z",
      out: /^Permission of range \[{p}x, {p}z\) is revoked from role staff\n$/,
    },
    {
      args: "role revoke-permission staff {p}x {p}z",
      err: /etcdserver: permission is not granted to the role/,
      code: 1,
    },
    {
      args: "user grant-role alice staff",
      out: /^Role staff is granted to user alice\n$/,
    },
    {
      args: "user grant-role alice none",
      err: /etcdserver: role name not found/,
      code: 1,
    },
    {
      args: "user grant-role root root",
      out: /^Role root is granted to user root\n$/,
    },
    { args: "user get alice", out: /^User: alice\nRoles: staff\n$/ },
    {
      args: "user get alice --detail",
      out: /^User: alice\n\nRole staff\nKV Read:\n/,
    },
    {
      args: "user get nobody",
      err: /etcdserver: user name not found/,
      code: 1,
    },
    { args: "auth enable", out: /^Authentication Enabled\n$/ },
    { args: "get {p}staff/a", err: /etcdserver: user name is empty/, code: 1 },
    {
      args: "get {p}staff/a --user alice:wrong",
      err: /etcdserver: authentication failed, invalid user ID or password/,
      code: 2,
    },
    { args: "put {p}staff/a 1 --user alice:alice's", out: /^OK\n$/ },
    {
      args: "get {p}staff/ --prefix --user alice --password alice's",
      out: /^{p}staff\/a\n1\n$/,
    },
    {
      args: "put {p}shared 1 --user alice:alice's",
      err: /etcdserver: permission denied/,
      code: 1,
    },
    { args: "get {p}shared --user alice:alice's", out: /^$/ },
    {
      args: "user list --user alice:alice's",
      err: /etcdserver: permission denied/,
      code: 1,
    },
    {
      args: "auth status --user root:secret",
      out: /^Authentication Status: true\nAuthRevision: \d+\n$/,
      since: 305,
    },
    {
      args: "user passwd alice --interactive=false --user root:secret",
      stdin: "new\n",
      out: /^Password updated\n$/,
    },
    {
      args: "get {p}shared --user alice:alice's",
      err: /etcdserver: authentication failed, invalid user ID or password/,
      code: 2,
    },
    {
      args: "user revoke-role alice staff --user root:secret",
      out: /^Role staff is revoked from user alice\n$/,
    },
    {
      args: "get {p}shared --user alice:new",
      err: /etcdserver: permission denied/,
      code: 1,
    },
    {
      args: "user revoke-role alice staff --user root:secret",
      err: /etcdserver: role is not granted to the user/,
      code: 1,
    },
    {
      args: "user delete root --user root:secret",
      err: /etcdserver: invalid auth management/,
      code: 1,
    },
    { args: "lock {p}lock --user root:secret -- echo held", out: /^held\n$/ },
    { args: "endpoint health --user root:secret" },
    {
      args: "auth disable --user root:secret",
      out: /^Authentication Disabled\n$/,
    },
    { args: "user delete alice", out: /^User alice deleted\n$/ },
    { args: "user delete guest", out: /^User guest deleted\n$/ },
    { args: "user delete root", out: /^User root deleted\n$/ },
    { args: "role delete staff", out: /^Role staff deleted\n$/ },
    { args: "role delete root", out: /^Role root deleted\n$/ },
    {
      args: "role delete root",
      err: /etcdserver: role name not found/,
      code: 1,
    },
    { args: "del {p} --prefix" },
  ],
};

export const FLOWS: readonly Flow[] = [
  KV,
  TXN,
  WATCH,
  LEASE,
  CONCURRENCY,
  CLUSTER,
  MAINTENANCE,
];
