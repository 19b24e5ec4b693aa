import { createHash } from "node:crypto";

/** What a server is known by. */
export interface ReplicaIdentity {
  readonly clusterId: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/** An id that stays the same as long as the server has its name and its addresses: 63 bits, not 0. */
export function replicaId(
  { clusterId, name, clientUrls }: ReplicaIdentity,
): bigint {
  return hash(["replica", clusterId.toString(16), name, ...clientUrls]);
}

/** For a server whose id another one has, too: an id that only this process has. */
export function otherReplicaId(id: bigint, incarnation: bigint): bigint {
  return hash(["incarnation", id.toString(16), incarnation.toString(16)]);
}

/** 64 random bits for a process. */
export function newIncarnation(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!;
}

/** JSON keeps the parts apart. Positive where a client reads it as a signed number. */
function hash(parts: readonly string[]): bigint {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest();
  return BigInt.asUintN(63, digest.readBigUInt64BE()) || 1n;
}
