import assert from "node:assert/strict";
import type { DomainError, ErrorKind } from "../../../src/base/errors.ts";
import {
  type MemberListRequest,
  type MemberListResponse,
  newMemberAddRequest,
  newMemberListRequest,
  newMemberPromoteRequest,
  newMemberRemoveRequest,
  newMemberUpdateRequest,
} from "../../../src/pb/etcdserverpb.ts";
import { ClusterHandlers, type MemberInfo } from "../../../src/rpc/cluster.ts";
import { HeaderSource } from "../../../src/rpc/header.ts";
import type { UnaryMethod } from "../../../src/transport/grpc/service.ts";
import { newAccess } from "../../support/access.ts";
import { callOf } from "../../support/call.ts";

const SELF = member(1n, "a");
const OTHER = member(2n, "b");

function newCluster(
  members: MemberInfo[] = [SELF, OTHER],
  refreshed = () => Promise.resolve(),
) {
  const header = new HeaderSource(9n, SELF.id, 2);
  const shared = { members, refreshed };
  return new ClusterHandlers(SELF, newAccess(), header, shared);
}

Deno.test("ClusterHandlers.list() has all servers that are there now, and no learner", () => {
  const members = [SELF];
  const cluster = newCluster(members);
  members.push(OTHER);
  const listed = cluster.list(newMemberListRequest()).members;
  assert.deepEqual(
    listed.map((m) => [m.ID, m.name, m.clientURLs, m.peerURLs, m.isLearner]),
    [
      [1n, "a", ["http://a:2379"], ["http://a:2380"], false],
      [2n, "b", ["http://b:2379"], ["http://b:2380"], false],
    ],
  );
});

Deno.test("MemberList asks who is there if it is to be linearizable, and only then", async () => {
  const members = [SELF];
  const cluster = newCluster(members, () => {
    members.push(OTHER);
    return Promise.resolve();
  });
  const method = cluster.methods().find(({ path }) =>
    path.endsWith("/MemberList")
  ) as UnaryMethod<MemberListRequest, MemberListResponse>;
  const list = async (linearizable: boolean) => {
    const request = newMemberListRequest({ linearizable });
    const response = await method.handle(request, callOf(method.path), 0);
    return response.members.map(({ name }) => name);
  };
  assert.deepEqual(await list(false), ["a"]);
  assert.deepEqual(await list(true), ["a", "b"]);
});

Deno.test("ClusterHandlers.list() has this server alone by default", () => {
  const header = new HeaderSource(9n, SELF.id, 2);
  const cluster = new ClusterHandlers(SELF, newAccess(), header);
  const { members } = cluster.list(newMemberListRequest());
  assert.deepEqual(members.map(({ ID }) => ID), [1n]);
});

Deno.test("ClusterHandlers.update() changes the peer URLs of any member", () => {
  const cluster = newCluster();
  const peerURLs = ["http://new:2380"];
  cluster.update(newMemberUpdateRequest({ ID: 2n, peerURLs }));
  const { members } = cluster.list(newMemberListRequest());
  assert.deepEqual(members.map((m) => m.peerURLs), [
    ["http://a:2380"],
    peerURLs,
  ]);
  fails(
    "memberNotFound",
    () => cluster.update(newMemberUpdateRequest({ ID: 3n, peerURLs })),
  );
});

Deno.test("ClusterHandlers.update() takes any text but another member's URL", () => {
  const cluster = newCluster();
  for (const peerURLs of [["nonsense"], [], ["http://b:2380", ""]]) {
    const request = newMemberUpdateRequest({ ID: 2n, peerURLs });
    assert.deepEqual(cluster.update(request).members[1]!.peerURLs, peerURLs);
  }
  const peerURLs = ["http://c:2380", "http://b:2380"];
  fails(
    "peerUrlExists",
    () => cluster.update(newMemberUpdateRequest({ ID: 1n, peerURLs })),
  );
});

/** What Go takes for a member's URL, and what it does not. */
const URLS: readonly [url: string, isOne: boolean][] = [
  ["http://c:2380", true],
  ["HTTPS://c:2380", true],
  [" http://c:1 ", true],
  ["http://:1", true],
  ["http://c:", true],
  ["http://[::1]:1", true],
  ["http://user@c:1", true],
  ["http://c:99999", true],
  ["http://c:1?x=1", true],
  ["http://c:1#x", true],
  ["unix://", true],
  ["unixs:///run/socket", true],
  ["http://c", false],
  ["http://c:x", false],
  ["http://c:1/", false],
  ["http://c:1/path", false],
  ["http://c c:1", false],
  ["http://", false],
  ["ftp://c:1", false],
  ["//c:1", false],
  ["c:1", false],
  ["", false],
];

Deno.test("ClusterHandlers.add() takes for URLs what etcd does", () => {
  const cluster = newCluster();
  for (const [url, isOne] of URLS) {
    fails(
      isOne ? "memberNotEnoughStarted" : "memberBadUrls",
      () => cluster.add(newMemberAddRequest({ peerURLs: [url] })),
    );
  }
  fails("memberBadUrls", () => cluster.add(newMemberAddRequest()));
});

Deno.test("ClusterHandlers refuses to add, remove and promote as etcd does", () => {
  const cluster = newCluster();
  const add = (url: string) =>
    cluster.add(newMemberAddRequest({ peerURLs: [url] }));
  fails("memberNotEnoughStarted", () => add("http://c:2380"));
  fails("peerUrlExists", () => add("http://b:2380"));
  fails("memberBadUrls", () => add("c"));
  for (
    const [id, kind] of [[2n, "memberNotEnoughStarted"], [
      3n,
      "memberNotFound",
    ]] as const
  ) {
    fails(kind, () => cluster.remove(newMemberRemoveRequest({ ID: id })));
  }
  fails(
    "memberNotLearner",
    () => cluster.promote(newMemberPromoteRequest({ ID: 2n })),
  );
});

function member(id: bigint, name: string): MemberInfo {
  const urls = (port: number) => [`http://${name}:${port}`];
  return { id, name, peerUrls: urls(2380), clientUrls: urls(2379) };
}

function fails(kind: ErrorKind, act: () => unknown): void {
  assert.throws(act, (error: DomainError) => error.kind === kind);
}
