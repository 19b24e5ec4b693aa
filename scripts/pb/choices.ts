/**
 * What the .proto files don't say: which 64-bit fields are ids, and which messages stay encoded.
 * A name that no longer exists stops the generator.
 */

/** Fields that use all 64 bits: `bigint`, signed for int64 and unsigned for uint64. All others are `number`. */
export const ID_FIELDS: readonly string[] = [
  // Leases.
  "mvccpb.KeyValue.lease",
  "etcdserverpb.PutRequest.lease",
  "etcdserverpb.Compare.lease",
  "etcdserverpb.LeaseGrantRequest.ID",
  "etcdserverpb.LeaseGrantResponse.ID",
  "etcdserverpb.LeaseRevokeRequest.ID",
  "etcdserverpb.LeaseCheckpoint.ID",
  "etcdserverpb.LeaseKeepAliveRequest.ID",
  "etcdserverpb.LeaseKeepAliveResponse.ID",
  "etcdserverpb.LeaseTimeToLiveRequest.ID",
  "etcdserverpb.LeaseTimeToLiveResponse.ID",
  "etcdserverpb.LeaseStatus.ID",
  "v3lockpb.LockRequest.lease",
  "v3electionpb.CampaignRequest.lease",
  "v3electionpb.LeaderKey.lease",
  // Watchers: clients may choose any.
  "etcdserverpb.WatchCreateRequest.watch_id",
  "etcdserverpb.WatchCancelRequest.watch_id",
  "etcdserverpb.WatchResponse.watch_id",
  // Cluster and members.
  "etcdserverpb.ResponseHeader.cluster_id",
  "etcdserverpb.ResponseHeader.member_id",
  "etcdserverpb.Member.ID",
  "etcdserverpb.MemberRemoveRequest.ID",
  "etcdserverpb.MemberUpdateRequest.ID",
  "etcdserverpb.MemberPromoteRequest.ID",
  "etcdserverpb.MoveLeaderRequest.targetID",
  "etcdserverpb.AlarmRequest.memberID",
  "etcdserverpb.AlarmMember.memberID",
  "etcdserverpb.StatusResponse.leader",
];

/** Message fields that are kept as wire bytes: they come ready-made out of the store, and go out as they are. */
export const RAW_FIELDS: readonly string[] = [
  "etcdserverpb.RangeResponse.kvs",
  "etcdserverpb.RangeStreamResponse.range_response",
  "etcdserverpb.PutResponse.prev_kv",
  "etcdserverpb.DeleteRangeResponse.prev_kvs",
  "etcdserverpb.WatchResponse.events",
  "v3electionpb.LeaderResponse.kv",
];

/**
 * Message types whose fields stay encoded wherever they stand. A server's header is the same bytes in
 * most of its answers, and encoding its two 64-bit ids costs more than the rest of a small answer.
 */
export const RAW_TYPES: readonly string[] = ["etcdserverpb.ResponseHeader"];

/** Files in `src/pb/` that are written by hand. */
export const HAND_WRITTEN: readonly string[] = ["wire.ts", "key_value.ts"];
